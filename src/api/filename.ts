import { stringAboveMaxLength } from './errors/parameter-errors.ts';
import { MAX_FILENAME_LENGTH } from '../domain/file.ts';
import { codePoints } from '../domain/shown-text.ts';

/** Code points of a name in a header: nine bytes each when they are encoded, and proxies bound all headers to 4 KiB. */
const HEADER_NAME_LENGTH = 128;
/** Code points of an ending that a cut name keeps. */
const ENDING_LENGTH = 16;

/** Throws the 400 for a name that is too long; `param` is what the client calls it. */
export function checkFilename(param: string, filename: string): void {
  const length = codePoints(filename);
  if (length > MAX_FILENAME_LENGTH) throw stringAboveMaxLength(param, MAX_FILENAME_LENGTH, length);
}

/** The header that names a download: in ASCII for old readers, as it is for all others (RFC 6266). A long name is cut before its ending. */
export function contentDisposition(filename: string): string {
  const name = cutName(filename.toWellFormed());
  const ascii = name.replace(/[^\x20-\x7e]|["\\]/gu, '_');
  const encoded = encodeURIComponent(name).replace(/['()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  return `attachment; filename="${ascii}"; filename*=UTF-8''${encoded}`;
}

function cutName(filename: string): string {
  const points = [...filename];
  if (points.length <= HEADER_NAME_LENGTH) return filename;
  const dot = points.lastIndexOf('.');
  const ending = dot >= points.length - ENDING_LENGTH ? points.slice(dot) : [];
  return [...points.slice(0, HEADER_NAME_LENGTH - ending.length), ...ending].join('');
}
