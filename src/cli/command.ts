import { parseArgs } from 'node:util';
import type { ApiClient } from './api-client.ts';
import { WrongCall } from './command-error.ts';
import type { ExitCode } from './exit-codes.ts';
import type { ApiAddress } from './http.ts';
import type { Output } from './output.ts';

/** An option: `parseArgs` needs its type, the help text its placeholder and its sentence. */
export interface Option {
  type: 'boolean' | 'string';
  short?: string;
  multiple?: true;
  default?: string;
  /** Stands for the value in the help text. */
  value?: string;
  help: string;
}
export type Options = Readonly<Record<string, Option>>;

type ValueOf<O extends Option> = O extends { type: 'boolean' }
  ? boolean
  : O extends { multiple: true }
    ? string[]
    : O extends { default: string }
      ? string
      : string | undefined;
export type Values<T extends Options> = { readonly [K in keyof T]: ValueOf<T[K]> };

/** What a command works with. */
export interface Context {
  output: Output;
  /** Fires with Ctrl-C. */
  signal: AbortSignal;
  /** The API that settings and options name. Says on stderr which one it is, unless it is the default. */
  api(): { client: ApiClient; address: ApiAddress };
  stdin: NodeJS.ReadStream;
  /** Every command of the client, to be loaded by those that describe them. */
  commands: Readonly<Record<string, CommandEntry>>;
  /** For operators: checks what the server's settings name. */
  checkServer(): Promise<Check[]>;
}

export interface CommandEntry {
  summary: string;
  load: () => Promise<Command>;
}

/** One thing that `doctor` looked at. */
export interface Check {
  isGood: boolean;
  /** Nothing answered at all. */
  isUnreachable?: boolean;
  sentence: string;
}

/** A command of the client. `words` bounds the number of arguments beside options. */
export interface Command {
  readonly usage: string;
  /** What it does, in a few sentences. */
  readonly about: string;
  readonly options: Options;
  readonly words: readonly [least: number, most: number];
  run(parsed: Parsed, context: Context): Promise<ExitCode>;
}

export interface Parsed {
  values: Readonly<Record<string, unknown>>;
  words: string[];
}

/** Options that every command has. */
export const COMMON_OPTIONS = {
  'base-url': { type: 'string', value: 'URL', help: 'the API, such as http://127.0.0.1:7800/v1 (NIGHTSHIFT_BASE_URL)' },
  'api-key': { type: 'string', value: 'KEY', help: 'its key; other users of this machine can see it (NIGHTSHIFT_API_KEY)' },
  quiet: { type: 'boolean', short: 'q', help: 'no progress and no notes on stderr' },
  help: { type: 'boolean', short: 'h', help: 'this text' },
} as const satisfies Options;

/** Makes a command whose `run` knows the types of its options. */
export function defineCommand<const T extends Options>(given: {
  usage: string;
  about: string;
  options: T;
  words: readonly [least: number, most: number];
  run: (values: Values<T>, words: string[], context: Context) => Promise<ExitCode>;
}): Command {
  // `parseArgs` has checked the values against the same options.
  return { ...given, run: async ({ values, words }, context) => await given.run(values as Values<T>, words, context) };
}

/** Reads the arguments of a command. Throws a `WrongCall` that says what is wrong. */
export function parse(
  command: Pick<Command, 'usage' | 'options' | 'words'>,
  args: string[],
): Parsed & { common: Values<typeof COMMON_OPTIONS> } {
  const options: Options = { ...command.options, ...COMMON_OPTIONS };
  const help = `See: nightshift ${nameOf(command.usage)} --help`;
  let parsed;
  try {
    parsed = parseArgs({
      args,
      options: Object.fromEntries(
        Object.entries(options).map(([name, { type, short, multiple, default: value }]) => {
          const spec = { type, ...(short === undefined ? {} : { short }), ...(multiple === true ? { multiple, default: [] } : {}) };
          return [name, value === undefined ? spec : { ...spec, default: value }];
        }),
      ),
      allowPositionals: true,
    });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new WrongCall(`${error.message.split('. ')[0] ?? error.message}. ${help}`);
  }
  const { positionals: words } = parsed;
  const booleans = Object.entries(options).flatMap(([name, { type }]) => (type === 'boolean' ? [[name, false]] : []));
  const values = { ...Object.fromEntries(booleans), ...parsed.values };
  const [least, most] = command.words;
  if (values['help'] !== true && words.length < least) throw new WrongCall(`An argument is missing. Usage: nightshift ${command.usage}`);
  if (values['help'] !== true && words.length > most)
    throw new WrongCall(`There is an argument too many: ${JSON.stringify(words[most])}. Usage: nightshift ${command.usage}`);
  return { values, words, common: values as Values<typeof COMMON_OPTIONS> };
}

/** The help text of a command. */
export function helpOf({ usage, about, options }: Command): string {
  const all = Object.entries<Option>({ ...options, ...COMMON_OPTIONS });
  const rows = all.map(([name, { short, value, help }]): [string, string] => [
    `${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`,
    help,
  ]);
  const width = Math.max(...rows.map(([left]) => left.length));
  const list = rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('');
  return `Usage: nightshift ${usage}\n\n${about.trim()}\n\n${list}\nExit codes and environment variables: docs/command-line.md\n`;
}

/** The command's words before its arguments and options: `files get` of `files get ID [options]`. */
function nameOf(usage: string): string {
  return /^[a-z]+( [a-z]+)*/.exec(usage)?.[0] ?? '';
}

/** A whole number in an option. */
export function wholeNumber(option: string, text: string, least: number, most: number): number {
  if (/^\d{1,9}$/.test(text) && Number(text) >= least && Number(text) <= most) return Number(text);
  throw new WrongCall(`--${option} is ${JSON.stringify(text)}, but it takes a whole number from ${least} to ${most}.`);
}
