import { EXIT, type ExitCode } from './exit-codes.ts';

/** A command cannot do what was asked. The message is for the user: what was found, what was expected, what to do. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: ExitCode;

  constructor(message: string, options: ErrorOptions & { exitCode?: ExitCode } = {}) {
    super(message, options);
    this.exitCode = options.exitCode ?? EXIT.error;
  }
}

/** The arguments are wrong. */
export class WrongCall extends CommandError {
  constructor(message: string) {
    super(message, { exitCode: EXIT.usage });
  }
}
