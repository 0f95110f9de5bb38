import { stderr, stdin, stdout } from 'node:process';
import { createApiClient } from './api-client.ts';
import { type Check, type Command, helpOf, parse } from './command.ts';
import { CLIENT_COMMANDS } from './commands.ts';
import { EXIT } from './exit-codes.ts';
import { type ApiAddress, createHttp } from './http.ts';
import { createOutput, type Output } from './output.ts';

/** What the settings answer to a command of the client. */
export interface ClientSettings {
  /** The API that the settings and the two options name. `isDefault` is true for the one on this machine. */
  address(options: { baseUrl: string | null; apiKey: string | null }): ApiAddress & { isDefault: boolean };
  checkServer(): Promise<Check[]>;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs a command of the client with its arguments. Returns the exit code. */
export async function runCommand(command: Command, args: string[], settings: ClientSettings): Promise<number> {
  const { values, words, common } = parse(command, args);
  const output = createOutput({ stdout, stderr, quiet: common.quiet });
  if (common.help) {
    output.print(helpOf(command));
    return EXIT.ok;
  }
  const interrupt = new AbortController();
  const onSignal = () => interrupt.abort(new DOMException('interrupted', 'AbortError'));
  // Once: a second Ctrl-C ends the process at once.
  for (const name of SIGNALS) process.once(name, onSignal);
  try {
    const code = await command.run(
      { values, words },
      {
        output,
        signal: interrupt.signal,
        stdin,
        commands: CLIENT_COMMANDS,
        checkServer: settings.checkServer,
        api: once(() => {
          const address = settings.address({ baseUrl: common['base-url'] ?? null, apiKey: common['api-key'] ?? null });
          return { address, client: clientOf(address, output, interrupt.signal) };
        }),
      },
    );
    await output.drained();
    return code;
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    return EXIT.interrupted;
  } finally {
    for (const name of SIGNALS) process.off(name, onSignal);
  }
}

function clientOf(address: ApiAddress & { isDefault: boolean }, output: Output, signal: AbortSignal) {
  if (!address.isDefault) output.note(`API: ${address.baseUrl} (from ${address.baseUrlFrom})`);
  return createApiClient(createHttp({ address, signal, onWait: output.note }));
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | null = null;
  return () => (made ??= { value: make() }).value;
}
