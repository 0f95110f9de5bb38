import { invalidValue } from './errors/parameter-errors.ts';

/** The values of a parameter that names some of a closed set, with commas between or repeated; none if it is empty. Throws the 400. */
export function readChoices<T extends string>(query: URLSearchParams, param: string, choices: readonly T[]): T[] {
  const given = query.getAll(param).filter((each) => each !== '');
  return given.flatMap((each) => each.split(',')).map((each) => toChoice(param, each.trim(), choices));
}

/** The value of a parameter that names one of a closed set; null without it. Throws the 400. */
export function readChoice<T extends string>(query: URLSearchParams, param: string, choices: readonly T[]): T | null {
  const given = query.get(param);
  return given === null ? null : toChoice(param, given, choices);
}

function toChoice<T extends string>(param: string, given: string, choices: readonly T[]): T {
  const choice = choices.find((each) => each === given);
  if (choice === undefined) throw invalidValue(param, given, choices);
  return choice;
}
