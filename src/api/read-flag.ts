import { invalidValue } from './errors/parameter-errors.ts';

/** A parameter that is `true` or `false`, by default `false`. Throws the 400 for any other value. */
export function readFlag(query: URLSearchParams, param: string): boolean {
  const given = query.get(param) ?? 'false';
  if (given !== 'true' && given !== 'false') throw invalidValue(param, given, ['true', 'false']);
  return given === 'true';
}
