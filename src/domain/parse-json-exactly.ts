import { isJsonRecord } from './json-type.ts';

/** A string, and what makes it a key; or one that does not end, which takes the rest, lest every quote in it be tried as a beginning. */
const STRINGS = /("[^"\\]*(?:\\.[^"\\]*)*(?:"|$))(\s*:)?/gs;

/**
 * `JSON.parse`, and right about keys that are written with escapes: V8, in Node 24 and 26, takes such a key for one with a backslash in
 * its place, if any object before, whoever's it was, had that (nodejs/node#63785). So where there is such a key V8 gets
 * to see plain ones for all keys, and these are then exchanged. That takes up to ten times as long as `JSON.parse`.
 */
export function parseJsonExactly(text: string): unknown {
  if (!text.includes('\\')) return JSON.parse(text);
  const numbers = new Map<string, number>();
  let hasEscapes = false;
  const withNumbers = text.replaceAll(STRINGS, (whole, string: string, colon?: string) => {
    if (colon === undefined) return whole;
    hasEscapes ||= string.includes('\\');
    const key: string = JSON.parse(string);
    const number = numbers.get(key) ?? numbers.size;
    numbers.set(key, number);
    return `"k${number}"${colon}`;
  });
  return hasEscapes ? exchangeKeys(JSON.parse(withNumbers), [...numbers.keys()]) : JSON.parse(text);
}

/** Not recursive, because a text may be deeper than the stack. */
function exchangeKeys(parsed: unknown, keys: readonly string[]): unknown {
  const root: Record<string, unknown> = { parsed };
  const holders: (Record<string, unknown> | unknown[])[] = [root];
  for (const holder of holders) {
    for (const [name, value] of Object.entries<unknown>(holder)) {
      if (Array.isArray(value)) holders.push(value);
      if (!isJsonRecord(value)) continue;
      const exchanged = Object.fromEntries(Object.entries(value).map(([key, member]) => [keys[Number(key.slice(1))] ?? '', member]));
      // Defined and not assigned, because the name may be `__proto__`.
      Object.defineProperty(holder, name, { value: exchanged, writable: true, enumerable: true, configurable: true });
      holders.push(exchanged);
    }
  }
  return root['parsed'];
}
