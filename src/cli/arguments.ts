import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { CommandError } from './command-error.ts';

/** Reads the arguments of a command that takes an exact number of words beside its options. Throws one sentence when they do not fit. */
export function readArguments<const T extends ParseArgsOptionsConfig>(args: string[], words: number, options: T, help: string) {
  const { values, positionals } = parseArgs({
    args,
    options: { ...options, help: { type: 'boolean', short: 'h' } },
    allowPositionals: true,
    strict: true,
  });
  const wantsHelp = 'help' in values && values.help === true;
  if (!wantsHelp && positionals.length !== words) throw new WrongCall(`Usage: ${help.split('\n')[0]}`);
  return { values, positionals, wantsHelp };
}

/** The command line itself is wrong: exit code 2. */
export class WrongCall extends CommandError {
  readonly code = 'ERR_PARSE_ARGS_WRONG_CALL';
}
