import { renameSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The wall clock of processes that a test starts: as when somebody sets it, while what is monotonic goes on. */
export interface SettableClock extends AsyncDisposable {
  /** Joins the environment of the processes. */
  readonly env: Record<string, string>;
  /** Sets it so far ahead (or back) of the true time; processes notice within a tenth of a second. */
  set(aheadMs: number): void;
}

/** Loaded before anything else: whoever asks for the time gets it with what the file says on top. */
const PRELOAD = `
import { readFileSync } from 'node:fs';
const True = Date;
let aheadMs = 0;
const read = () => { try { aheadMs = Number(readFileSync(process.env.SETTABLE_CLOCK_FILE, 'utf8')) || 0; } catch {} };
read();
setInterval(read, 50).unref();
const now = () => True.now() + aheadMs;
globalThis.Date = new Proxy(True, {
  construct: (_, given, by) => Reflect.construct(True, given.length === 0 ? [now()] : given, by === globalThis.Date ? True : by),
  get: (_, key) => (key === 'now' ? now : Reflect.get(True, key)),
});
`;

export async function createSettableClock(): Promise<SettableClock> {
  const directory = await mkdtemp(join(tmpdir(), 'nightshift-clock-'));
  const file = join(directory, 'ahead-ms');
  return {
    env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(PRELOAD)}`, SETTABLE_CLOCK_FILE: file },
    set(aheadMs) {
      // Renamed over it: half a file would set the clocks back to the true time for a moment.
      writeFileSync(`${file}.new`, String(aheadMs));
      renameSync(`${file}.new`, file);
    },
    [Symbol.asyncDispose]: async () => await rm(directory, { recursive: true, force: true }),
  };
}
