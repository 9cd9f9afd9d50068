/** A text with Argo's tags, taken apart: `a-{{x}}-b` has the literals `a-`, `-b` and the tag `x`. */
export interface TaggedText {
  /** What stands around the tags; always one more than there are tags. */
  readonly literals: readonly string[];
  /** What stands between the braces, trimmed as Argo trims it (util/template/simple_template.go). */
  readonly tags: readonly string[];
  /** A `{{` without an end; it then stands in the last literal. */
  readonly isUnclosed: boolean;
}

export function readTags(text: string): TaggedText {
  const literals: string[] = [];
  const tags: string[] = [];
  let position = 0;
  for (;;) {
    const start = text.indexOf('{{', position);
    const end = start === -1 ? -1 : text.indexOf('}}', start + 2);
    if (end === -1) {
      literals.push(text.slice(position));
      return { literals, tags, isUnclosed: start !== -1 };
    }
    literals.push(text.slice(position, start));
    tags.push(text.slice(start + 2, end).trim());
    position = end + 2;
  }
}

/** `{{=…}}`: an expression, which only Argo can evaluate. */
export function isExpression(tag: string): boolean {
  return tag.startsWith('=');
}
