import { integerAboveMax, integerBelowMin, invalidType, invalidValue, missingParameter } from './errors/parameter-errors.ts';
import { describeJsonType, isJsonRecord } from '../domain/json-type.ts';

/** One hour to thirty days. */
const [MIN_SECONDS, MAX_SECONDS] = [3600, 2_592_000];
const ANCHOR = 'created_at';

/** Seconds after its creation at which a file shall go; null when the caller says nothing. Throws the 400 that names `param` and its member. */
export function readExpiresAfter(param: string, given: unknown): number | null {
  if (given === undefined || given === null) return null;
  if (!isJsonRecord(given)) throw invalidType(param, 'an object', describeJsonType(given));
  const { anchor, seconds } = given;
  if (anchor === undefined || anchor === null) throw missingParameter(`${param}.anchor`);
  if (typeof anchor !== 'string') throw invalidType(`${param}.anchor`, 'a string', describeJsonType(anchor));
  if (anchor !== ANCHOR) throw invalidValue(`${param}.anchor`, anchor, [ANCHOR]);
  if (seconds === undefined || seconds === null) throw missingParameter(`${param}.seconds`);
  // Digits without end become Infinity, which is too large and not of the wrong type.
  if (typeof seconds !== 'number' || (Number.isFinite(seconds) && !Number.isInteger(seconds)))
    throw invalidType(`${param}.seconds`, 'an integer', describeJsonType(seconds));
  if (seconds < MIN_SECONDS) throw integerBelowMin(`${param}.seconds`, MIN_SECONDS, seconds);
  if (seconds > MAX_SECONDS) throw integerAboveMax(`${param}.seconds`, MAX_SECONDS, seconds);
  return seconds;
}

/** The same out of a form, where it comes as `expires_after[anchor]` and `expires_after[seconds]`, both text. */
export function readFormExpiresAfter(fields: ReadonlyMap<string, string>): number | null {
  const anchor = fields.get('expires_after[anchor]');
  const seconds = fields.get('expires_after[seconds]');
  if (anchor === undefined && seconds === undefined) return null;
  const isInteger = seconds !== undefined && /^-?\d+$/.test(seconds);
  return readExpiresAfter('expires_after', { anchor, seconds: isInteger ? Number(seconds) : seconds });
}
