import type { IncomingMessage } from 'node:http';
import { Busboy, type BusboyInstance } from '@fastify/busboy';
import { truncate } from './errors/api-error.ts';
import { type BodyBounds, readBody } from './request-body.ts';

/** The body is no form that can be parsed; `message` is fit for the client. */
export class MalformedForm extends Error {
  override readonly name = 'MalformedForm';
}

/** What is done with the part that is the file: its name and bytes, and the fields that stood before it in the form. */
export type TakeFile = (filename: string, content: AsyncIterable<Buffer>, fieldsSoFar: ReadonlyMap<string, string>) => Promise<void>;

/** A form is a file and a handful of short fields. */
const LIMITS = { files: 1, fields: 20, parts: 40, fieldSize: 64 * 1024, headerSize: 16 * 1024, headerPairs: 20 };

/**
 * Reads a multipart form as it streams in: the part named `filePart` goes to `takeFile` at its pace, every other part is a text
 * field of the answer. Fields may stand before and after the file. Throws `MalformedForm`, what `readBody` throws, and
 * whatever `takeFile` throws; in every case `takeFile` has ended by then.
 */
export async function readForm(
  request: IncomingMessage,
  bounds: BodyBounds,
  takeFile: TakeFile,
  filePart = 'file',
): Promise<ReadonlyMap<string, string>> {
  const parser = createParser(request, filePart);
  const fields = new Map<string, string>();
  const finished = Promise.withResolvers<void>();
  const stop = new AbortController();
  const taking: Promise<void>[] = [];

  parser.on('field', (name, value, _nameTruncated, isTruncated) => {
    if (isTruncated) finished.reject(new MalformedForm(`The form field '${truncate(name)}' is too long.`));
    else fields.set(name, value);
  });
  parser.on('file', (_name, content, filename) => {
    content.on('error', () => {});
    stop.signal.addEventListener('abort', () => content.destroy(new Error('the form is given up', { cause: stop.signal.reason })));
    const taken = takeFile(baseName(filename), content, fields);
    taken.catch(finished.reject);
    taking.push(taken);
  });
  parser.on('filesLimit', () => finished.reject(new MalformedForm(`The form has more than one part named '${filePart}'.`)));
  parser.on('error', (error) =>
    finished.reject(new MalformedForm('The multipart form in the body could not be parsed.', { cause: error })),
  );
  parser.on('finish', finished.resolve);

  try {
    // A form may be complete before its body is: what follows the closing boundary is read and ignored.
    await Promise.all([feed(parser, readBody(request, { ...bounds, signal: stop.signal })), finished.promise]);
    await Promise.all(taking);
    return fields;
  } catch (error) {
    stop.abort(error);
    // Whoever takes the file must have let go of it before its bytes are dropped.
    await Promise.allSettled(taking);
    throw error;
  }
}

async function feed(parser: BusboyInstance, body: AsyncIterable<Buffer>): Promise<void> {
  for await (const chunk of body) await new Promise<void>((resolve) => parser.write(chunk, () => resolve()));
  parser.end();
}

function createParser(request: IncomingMessage, filePart: string): BusboyInstance {
  const contentType = request.headers['content-type'] ?? '';
  if (!/^multipart\/form-data\s*;/i.test(contentType)) {
    throw new MalformedForm('The request must be a form: expected the content type multipart/form-data with a boundary.');
  }
  try {
    return new Busboy({
      headers: { ...request.headers, 'content-type': contentType },
      isPartAFile: (name) => name === filePart,
      preservePath: true,
      limits: LIMITS,
    });
  } catch (error) {
    throw new MalformedForm('The content type multipart/form-data has no boundary.', { cause: error });
  }
}

/** Only the last part of a path is kept, whichever way its slashes lean; forms write `"` and line breaks as escapes. */
function baseName(sent: string | undefined): string {
  return lastOfPath(sent ?? '')
    .replace(/%22/g, '"')
    .replace(/%0D/gi, '\r')
    .replace(/%0A/gi, '\n');
}

/** The last part of a path; `upload` where that says nothing. */
export function lastOfPath(path: string): string {
  const name = path.split(/[/\\]/).at(-1) ?? '';
  return name === '' || name === '.' || name === '..' ? 'upload' : name;
}
