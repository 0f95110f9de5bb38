import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** What the lines of a run look like. */
export interface InputShape {
  lines: number;
  /** Characters of the message of each. */
  bytes: number;
  /** One line of about so many bytes in the middle; null for none. */
  longLineBytes: number | null;
}

/** The body of the request with this number, from 0; the bare loop sends the same. */
export function requestBody({ lines, bytes, longLineBytes }: InputShape, index: number): object {
  const isLong = longLineBytes !== null && index === Math.floor(lines / 2);
  return { model: 'example-model', messages: [{ role: 'user', content: `Say ${index} `.padEnd(isLong ? longLineBytes : bytes, 'x') }] };
}

/** One input line, without its line break. */
export function inputLine(shape: InputShape, index: number): string {
  return JSON.stringify({ custom_id: `line-${index}`, method: 'POST', url: '/v1/chat/completions', body: requestBody(shape, index) });
}

const LINES_PER_WRITE = 200;

/** Writes the lines from `first` up to, not including, `end` to a file, without holding them in memory. */
export async function writeInput(path: string, shape: InputShape, first: number, end: number): Promise<void> {
  function* text() {
    for (let from = first; from < end; from += LINES_PER_WRITE) {
      const count = Math.min(LINES_PER_WRITE, end - from);
      yield Array.from({ length: count }, (_, at) => `${inputLine(shape, from + at)}\n`).join('');
    }
  }
  await pipeline(Readable.from(text()), createWriteStream(path));
}
