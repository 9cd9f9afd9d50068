/** The package carries no types of its own. */
declare module 'jsonpatch' {
  const jsonpatch: {
    /** Applies RFC 6902 operations; throws when a `test` fails or a path does not exist. */
    apply_patch(document: unknown, patch: readonly unknown[]): unknown;
  };
  export default jsonpatch;
}
