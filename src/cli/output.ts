import { CommandError } from './command-error.ts';
import { fileReason } from './file-reason.ts';
import { json, lines } from './terminal-text.ts';

/** Where a terminal line is rewritten in place; elsewhere, lines are printed one below the other. */
export type Screen = Pick<NodeJS.WriteStream, 'write' | 'isTTY' | 'columns'>;

/** What a command prints: results to stdout, everything else to stderr. No control character of a server or a file gets through. */
export interface Output {
  /** Result text; line breaks are the caller's. */
  print(text: string): void;
  /** A result as one line of JSON. */
  printJson(value: unknown): void;
  /** A note on stderr; nothing with `--quiet`. */
  note(text: string): void;
  /** A message on stderr, also with `--quiet`. */
  warn(text: string): void;
  /** For progress; null with `--quiet`. */
  readonly screen: Screen | null;
  /** Whether nothing more can be printed, because the reader of stdout has gone (as `head` does) or a write failed. */
  readonly isClosed: boolean;
  /** Waits until everything is written. Throws when something could not be, unless the reader did not want it. */
  drained(): Promise<void>;
  /** For bytes that are passed through. */
  readonly stdout: NodeJS.WriteStream;
}

export function createOutput(given: { stdout: NodeJS.WriteStream; stderr: NodeJS.WriteStream; quiet: boolean }): Output {
  const { stdout, stderr, quiet } = given;
  let [isClosed, fault]: [boolean, Error | null] = [false, null];
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    isClosed = true;
    if (error.code !== 'EPIPE') fault = error;
  });
  stderr.on('error', () => {});
  return {
    print: (text) => void (isClosed || stdout.write(lines(text))),
    printJson: (value) => void (isClosed || stdout.write(`${json(value)}\n`)),
    note: (text) => void (quiet || stderr.write(`${lines(text)}\n`)),
    warn: (text) => void stderr.write(`${lines(text)}\n`),
    screen: quiet ? null : stderr,
    get isClosed() {
      return isClosed;
    },
    async drained() {
      // The callback comes when everything before it is written.
      await new Promise<void>((resolve) => (isClosed ? resolve() : stdout.write('', () => setImmediate(resolve))));
      if (fault !== null) throw new CommandError(`stdout cannot be written: ${fileReason(fault) ?? fault.message}.`, { cause: fault });
    },
    stdout,
  };
}
