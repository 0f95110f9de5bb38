import { parseCompletionWindow } from '../domain/completion-window.ts';
import type { Settings } from './settings.ts';

/** An input file is kept for 30 days, unless its upload says otherwise. */
const MAX_WINDOW_MS = 30 * 86_400_000;
/** Shorter keys can be guessed from their hashes. */
const MIN_KEY_LENGTH = 16;

/** Settings that contradict each other: one sentence each, with what to do. */
export function contradictions(settings: Settings, role: 'api' | 'worker' | 'local'): string[] {
  const faults: string[] = [];
  if (settings.MAX_BATCH_INPUT_BYTES > settings.MAX_UPLOAD_BYTES) {
    faults.push(
      `NIGHTSHIFT_MAX_BATCH_INPUT_BYTES is ${settings.MAX_BATCH_INPUT_BYTES}, but NIGHTSHIFT_MAX_UPLOAD_BYTES lets only ${settings.MAX_UPLOAD_BYTES} bytes in: raise the second or lower the first`,
    );
  }
  for (const window of settings.COMPLETION_WINDOWS) {
    if ((parseCompletionWindow(window) ?? 0) > MAX_WINDOW_MS) {
      faults.push(
        `NIGHTSHIFT_COMPLETION_WINDOWS has ${JSON.stringify(window)}, but input files expire after 30 days: use windows of at most 30d`,
      );
    }
  }
  const ports = [
    ['API_PORT', settings.API_PORT, role !== 'worker'],
    ['METRICS_PORT', settings.METRICS_PORT, role !== 'worker'],
    ['WORKER_HTTP_PORT', settings.WORKER_HTTP_PORT, role !== 'api'],
  ] as const;
  for (const [index, [name, port, listens]] of ports.entries()) {
    const other = ports.slice(0, index).find(([, taken, also]) => listens && also && port !== 0 && taken === port && port !== undefined);
    if (other !== undefined) faults.push(`NIGHTSHIFT_${name} and NIGHTSHIFT_${other[0]} are both ${port}: give each a port of its own`);
  }
  return faults;
}

/** Settings that make part of the service useless, which may be meant: one sentence each. */
export function doubts(settings: Settings): string[] {
  const warnings: string[] = [];
  if (settings.MAX_EMBEDDING_INPUTS < settings.MAX_REQUESTS_PER_BATCH) {
    warnings.push(
      `NIGHTSHIFT_MAX_EMBEDDING_INPUTS (${settings.MAX_EMBEDDING_INPUTS}) is below NIGHTSHIFT_MAX_REQUESTS_PER_BATCH (${settings.MAX_REQUESTS_PER_BATCH}): an embeddings batch reaches the first limit before the second`,
    );
  }
  if (settings.MAX_RESUMABLE_UPLOAD_BYTES < settings.MAX_UPLOAD_BYTES) {
    warnings.push(
      `NIGHTSHIFT_MAX_RESUMABLE_UPLOAD_BYTES (${settings.MAX_RESUMABLE_UPLOAD_BYTES}) is below NIGHTSHIFT_MAX_UPLOAD_BYTES (${settings.MAX_UPLOAD_BYTES}): uploads in parts take smaller files than plain ones`,
    );
  }
  const stored = settings.TENANT_MAX_STORED_BYTES;
  if (stored !== undefined && stored < settings.MAX_BATCH_INPUT_BYTES) {
    warnings.push(
      `NIGHTSHIFT_TENANT_MAX_STORED_BYTES (${stored}) is below NIGHTSHIFT_MAX_BATCH_INPUT_BYTES (${settings.MAX_BATCH_INPUT_BYTES}): a tenant cannot store the largest batch input file`,
    );
  }
  return warnings;
}

/** Warns of a plain key that is so short that its hash betrays it. `where` says which key it is, without showing it. */
export function shortKeyWarning(key: string, where: string): string | null {
  if (key.length >= MIN_KEY_LENGTH) return null;
  return `${where} is ${key.length} characters long and can be guessed: use ${MIN_KEY_LENGTH} or more, such as those of \`nightshift tenants new-key\``;
}
