/**
 * Control characters, and the marks that change the direction of text. In a terminal they can move the cursor, hide or
 * replace what was printed, and on some terminals run commands.
 */
const UNSAFE = /[\p{Cc}\u061C\u200E\u200F\u2028\u2029\u202A-\u202E\u2066-\u2069]/gu;

/** Text of a server or a file for one line of a terminal: unsafe characters as escapes such as `\x1b`. */
export function oneLine(text: string): string {
  return text.replaceAll(/\s*[\r\n]+\s*/g, ' ').replaceAll(UNSAFE, escaped);
}

/** The same, but line breaks and tabs stay. */
export function lines(text: string): string {
  return text.replaceAll(UNSAFE, (char) => (char === '\n' || char === '\t' ? char : escaped(char)));
}

/** JSON of a value on one line. `JSON.stringify` leaves DEL and the C1 control characters as they are. */
export function json(value: unknown): string {
  return JSON.stringify(value).replaceAll(UNSAFE, (char) => `\\u${hex(char, 4)}`);
}

/** A value in quotes, at most 80 characters of it. */
export function quoted(text: string): string {
  return json(truncate(text, 80));
}

/** The first `maxLength` characters, with `…` for the rest. */
export function truncate(text: string, maxLength: number): string {
  const characters = Array.from(text.slice(0, maxLength * 2 + 2));
  return characters.length <= maxLength ? text : `${characters.slice(0, maxLength).join('')}…`;
}

function escaped(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  return code < 256 ? `\\x${hex(char, 2)}` : `\\u${hex(char, 4)}`;
}

function hex(char: string, digits: number): string {
  return (char.codePointAt(0) ?? 0).toString(16).padStart(digits, '0');
}
