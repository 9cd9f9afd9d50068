declare module 'postject' {
  /** Puts a resource into an executable, under a name. */
  export function inject(
    file: string,
    resource: string,
    content: Buffer,
    options?: { readonly sentinelFuse?: string },
  ): Promise<void>;
}
