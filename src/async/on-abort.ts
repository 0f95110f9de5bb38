const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `act` when the signal is aborted, unless what it answers was called before. For signals that thousands wait on:
 * `addEventListener` and `removeEventListener` look through all listeners each time.
 */
export function onAbort(signal: AbortSignal, act: () => void): () => void {
  const acts = waiting.get(signal) ?? listen(signal);
  acts.add(act);
  return () => void acts.delete(act);
}

function listen(signal: AbortSignal): Set<() => void> {
  const acts = new Set<() => void>();
  waiting.set(signal, acts);
  const all = () => {
    for (const act of acts) act();
    acts.clear();
  };
  signal.addEventListener('abort', all, { once: true });
  return acts;
}
