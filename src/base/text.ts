/** Texts of users' in messages for people. */
const QUOTE_LIMIT = 120;
/** What needs no escape in JSON and does nothing to a terminal. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** A user's text for a message: in quotes, without control characters, shortened. */
export function quote(value: unknown): string {
  if (typeof value !== 'string') return describe(value);
  const shown = value.length <= QUOTE_LIMIT ? value : `${value.slice(0, QUOTE_LIMIT)}…`;
  if (PLAIN.test(shown)) return `"${shown}"`;
  // Half a surrogate pair or a bidirectional override must not reach a terminal.
  return JSON.stringify(shown).replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, (character) => {
    return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
  });
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `the ${typeof value} ${plainText(value)}`;
}

/** A text, a number or a boolean as text, anything else by its type: objects may bring a toString of their own. */
export function plainText(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : typeof value;
}

/** For a quotation that begins a sentence. */
export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
