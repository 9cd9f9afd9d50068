/**
 * One tag. Argo evaluates what begins with `{{=`, to the letter (util/template/kind.go); anything else is the name of a
 * value, blanks around it cut off (simple_template.go), and with a blank before the `=` it is an unknown name.
 */
export interface Tag {
  readonly name: string;
  readonly isExpression: boolean;
}

/** A text with Argo's tags, taken apart: `a-{{x}}-b` has the literals `a-`, `-b` and the tag `x`. */
export interface TaggedText {
  /** What stands around the tags; always one more than there are tags. */
  readonly literals: readonly string[];
  /** What stands between the braces. */
  readonly tags: readonly Tag[];
  /** A `{{` that is never closed; it is then part of the last literal. */
  readonly isUnclosed: boolean;
}

export function readTags(text: string): TaggedText {
  const literals: string[] = [];
  const tags: Tag[] = [];
  let position = 0;
  for (;;) {
    const start = text.indexOf('{{', position);
    const end = start === -1 ? -1 : text.indexOf('}}', start + 2);
    if (end === -1) {
      literals.push(text.slice(position));
      return { literals, tags, isUnclosed: start !== -1 };
    }
    literals.push(text.slice(position, start));
    const inner = text.slice(start + 2, end);
    tags.push({ name: inner.trim(), isExpression: inner.startsWith('=') });
    position = end + 2;
  }
}

/**
 * The tags of Helm's templates, which Argo would not know: `{{ .Values.x }}`, `{{- if … }}`, `{{ include "x" . }}`. Argo's
 * own never begin with a dot, a dollar sign, a minus or one of these functions.
 */
export function isHelmTag({ name, isExpression }: Tag): boolean {
  if (isExpression) return false;
  return /^(?:[.$"`(-]|\/\*|(?:if|else|end|range|with|define|block|template|include|toYaml|tpl|printf|default|required|quote|lookup)(?:\s|$))/.test(
    name,
  );
}
