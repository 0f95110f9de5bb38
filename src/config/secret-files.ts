import { readFileSync } from 'node:fs';
import { firstLine } from './config-error.ts';
import { PREFIX, type SECRET_SETTINGS } from './settings.ts';

/** The name of a setting that holds a secret. */
export type SecretName = (typeof SECRET_SETTINGS)[number];

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * The environment with the value of `NAME` taken from the file that `NAME_FILE` names, for each of `names`. Adds a fault for a
 * file that holds nothing or cannot be read, and where both variables are set.
 */
export function readSecretFiles(env: Variables, names: readonly SecretName[], faults: string[]): NodeJS.Dict<string> {
  const result = { ...env };
  for (const name of names) {
    const variable = `${PREFIX}${name}`;
    const path = env[`${variable}_FILE`] ?? '';
    if (path === '') continue;
    if ((env[variable] ?? '') !== '') {
      faults.push(`${variable} and ${variable}_FILE are both set: remove one of them`);
      continue;
    }
    const content = readSecretFile(path, `${variable}_FILE`, faults);
    if (content !== null) result[variable] = content;
  }
  return result;
}

/** The content of a file without spaces and line ends around it. Null, and a fault that begins with `what`, when there is none. */
export function readSecretFile(path: string, what: string, faults: string[]): string | null {
  try {
    const content = readFileSync(path, 'utf8').trim();
    if (content !== '') return content;
    faults.push(`${what}: the file ${JSON.stringify(path)} is empty, but must hold the secret`);
  } catch (error) {
    faults.push(`${what}: ${cannotRead(path, error)}`);
  }
  return null;
}

/** Says which file cannot be read, and why. */
export function cannotRead(path: string, error: unknown): string {
  return `the file ${JSON.stringify(path)} cannot be read (${firstLine(error)}): correct the path, or let the process read it`;
}
