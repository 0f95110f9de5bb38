/** How often to look whether npm is still there. */
const LOOK_EVERY_MS = 500;
/** A Ctrl-C reaches us from the terminal and once more through npm; only a later one is impatience. */
const SAME_SIGNAL_MS = 1_000;

/** Raised by Ctrl-C and its like, and, when npm started us, by the end of npm. A second Ctrl-C ends this process, and the watchdog the rest. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController();
  let firstMs = 0;
  const onSignal = () => {
    if (stop.signal.aborted && performance.now() - firstMs > SAME_SIGNAL_MS) process.exit(130);
    if (!stop.signal.aborted) firstMs = performance.now();
    stop.abort();
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, onSignal);
  if (process.env['npm_lifecycle_event'] !== undefined) {
    const parent = process.ppid;
    setInterval(() => process.ppid !== parent && stop.abort(), LOOK_EVERY_MS).unref();
  }
  return stop.signal;
}
