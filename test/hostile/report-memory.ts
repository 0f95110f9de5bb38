/** Loaded into a process under test with `--expose-gc`: it collects all garbage when its parent asks, and answers what is left, in bytes. */
process.on('message', () => {
  globalThis.gc?.();
  // The second time also what the first one only marked.
  globalThis.gc?.();
  process.send?.(process.memoryUsage());
});
process.channel?.unref();
