/**
 * Most UTF-16 units that Temporal is shown of a client's text. A search attribute takes 2 KiB, and 255 characters where
 * visibility lies in an SQL database; a workflow that says more is terminated.
 */
const SHOWN_LENGTH = 255;

/** How many Unicode code points a text has, as OpenAI counts lengths. */
export function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** The first `maxLength` UTF-16 units at most, and no half of a character. */
export function cutText(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  const isHalf = /[\uD800-\uDBFF]/.test(text.charAt(maxLength - 1));
  return text.slice(0, isHalf ? maxLength - 1 : maxLength);
}

/** A text of a client as Temporal is shown it: short, on one line, and nothing that a database or a page would choke on. */
export function shownText(text: string, maxLength = SHOWN_LENGTH): string {
  return cutText(text, maxLength)
    .toWellFormed()
    .replace(/\p{Cc}/gu, ' ');
}
