/**
 * Argo's tags filled in, exactly or not at all. Argo substitutes in the JSON of a template by Go's `strconv.Quote`
 * (util/template); the same comes out of substituting in each of its texts as long as the values are plain enough.
 */
import { readTags } from '../argo/tags.ts';
import { isObject } from '../base/json.ts';

/** By the name of the tag, without braces. */
export type Values = ReadonlyMap<string, string>;
/** What values are looked up in. */
export type Scope = Pick<Values, 'get'>;

/** Why a text cannot be foreseen; its message is half a sentence. */
export class Unforeseen extends Error {}

/**
 * Control characters other than those that both Go's quoting and JSON know, DEL, and all beyond U+FFFF: there the two differ,
 * or Argo errs.
 */
const UNSAFE = /(?![\b\f\n\r\t])[\p{Cc}\p{Cs}]|[\u{10000}-\u{10ffff}]/u;

/** A value that may be filled in; throws where Argo would make something else of it. */
export function safeValue(value: string, what: string): string {
  if (UNSAFE.test(value) || value.includes('{{'))
    throw new Unforeseen(`${what} holds characters that Argo treats in its own way`);
  return value;
}

/** A copy with every known tag filled in; unknown ones stay, as Argo leaves them. */
export function fillIn<T>(json: T, values: Scope): T {
  return fill(json, values) as T;
}

function fill(json: unknown, values: Scope): unknown {
  if (typeof json === 'string') return fillText(json, values);
  if (Array.isArray(json)) return json.map((item) => fill(item, values));
  if (!isObject(json)) return json;
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [fillText(key, values), fill(value, values)]));
}

function fillText(text: string, values: Scope): string {
  if (!text.includes('{{')) return text;
  const { literals, tags, isUnclosed } = readTags(text);
  if (isUnclosed) throw new Unforeseen('a text opens a tag that nothing closes');
  let filled = literals[0] ?? '';
  for (const [index, tag] of tags.entries()) {
    if (tag.isExpression) throw new Unforeseen('an expression ({{=…}}) stands there');
    if (tag.name.includes('{{')) throw new Unforeseen('a tag stands within a tag');
    const value = values.get(tag.name);
    filled +=
      (value === undefined ? `{{${tag.name}}}` : safeValue(value, `the value of ${tag.name}`)) +
      (literals[index + 1] ?? '');
  }
  return filled;
}

/** Whether a tag is left anywhere, Argo's or Helm's. */
export function hasTags(json: unknown): boolean {
  const text = JSON.stringify(json) ?? '';
  return text.includes('{{');
}

/** A parameter's value as Argo's AnyString writes it; undefined where none is given. */
export function parameterValue(value: unknown, what: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string' || typeof value === 'boolean') return String(value);
  // Numbers keep the text that they were written with in some places, and lose it in others.
  if (typeof value === 'number' && Number.isSafeInteger(value)) return String(value);
  throw new Unforeseen(`${what} is a number or an object that Argo may write otherwise`);
}

/** JSON as Go writes it: `<`, `>` and `&` as escapes, members sorted. */
export function goJson(value: string | readonly unknown[] | Readonly<Record<string, string>>): string {
  const sorted = JSON.stringify(value, (_, member: unknown) => {
    return isObject(member) ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1))) : member;
  });
  return sorted.replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
