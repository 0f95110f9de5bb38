import { readChoice } from './read-choices.ts';

/** A parameter that is `true` or `false`, by default `false`. Throws the 400 for any other value. */
export function readFlag(query: URLSearchParams, param: string): boolean {
  return readChoice(query, param, ['true', 'false']) === 'true';
}
