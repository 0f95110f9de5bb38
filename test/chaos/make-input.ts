import { md5 } from './calls.ts';
import type { Random } from './random.ts';

/** What one input file holds; a call of line n carries the body with the n-th hash. */
export interface Input {
  tenant: string;
  customIds: string[];
  bodyHashes: string[];
  /** The custom_id of the line whose worker dies of it each time. */
  poison: string | null;
}

/** What the script of a line makes the upstream do before it answers for good. */
export interface Planted {
  faults: number;
  resets: number;
}

/** An input that clients made, and what decides how its batch may end. */
export interface MadeInput extends Input {
  textHash: string;
  /** The completion window that is asked for. */
  window: Window;
  /** The line for which the whole input is refused; null for none. */
  wrongLine: number | null;
  /** By line. */
  planted: Planted[];
}

/** Completion windows, in seconds: one that nothing outlasts, and one that much does. */
export const WINDOW_SECONDS = { '24h': 86_400, '20s': 20 } as const;
type Window = keyof typeof WINDOW_SECONDS;

/** Also of a line that has no script. */
export const NOTHING_PLANTED: Planted = { faults: 0, resets: 0 };

/** Some padded lines make an upload of many parts. */
export const PADDING = ' '.repeat(1024 * 1024);

/** Most requests go well; some fail first, some for good, some take long. */
const SCRIPTS: readonly (readonly [script: { user?: string; planted: Planted }, weight: number])[] = [
  [{ planted: NOTHING_PLANTED }, 940],
  [{ user: 'status=500,200', planted: { faults: 1, resets: 0 } }, 20],
  [{ user: 'mode=reset,ok', planted: { faults: 0, resets: 1 } }, 10],
  [{ user: 'status=503,200', planted: { faults: 1, resets: 0 } }, 10],
  [{ user: 'status=400', planted: NOTHING_PLANTED }, 10],
  [{ user: 'delay=4000', planted: NOTHING_PLANTED }, 10],
];

/** Makes an input of this name. `poison` is in the body of one line; a `plain` one is neither wrong nor short of time. */
export function makeInput(given: { tenant: string; name: string; random: Random; poison: string | null; plain: boolean }) {
  const { tenant, name, random, poison, plain } = given;
  const isPoisonous = poison !== null;
  const mayEnd = !isPoisonous && !plain;
  // One in eight makes files of many parts.
  const isWide = random.chance(1 / 8) && !isPoisonous;
  const endpoint = isWide ? '/v1/embeddings' : '/v1/chat/completions';
  const isPadded = random.chance(1 / 8);
  const count = isWide ? random.between(60, 100) : random.between(20, 250);
  const window: Window = random.chance(0.08) && mayEnd ? '20s' : '24h';
  const wrongLine = random.chance(1 / 12) && mayEnd ? random.between(2, count) : null;
  const input: Input = { tenant, customIds: [], bodyHashes: [], poison: isPoisonous ? `${name}-7` : null };
  const planted: Planted[] = [];
  const rows: string[] = [];
  for (let line = 1; line <= count; line++) {
    // What is wrong is that an id is there twice.
    const customId = `${name}-${line === wrongLine ? 1 : line}`;
    const { planted: its, ...script } =
      customId === input.poison && isPoisonous ? { user: poison, planted: NOTHING_PLANTED } : random.weighted(SCRIPTS);
    const body = isWide
      ? { model: 'example-model', input: ['a', 'b', 'c', customId], dimensions: 4096 }
      : { model: 'example-model', messages: [{ role: 'user', content: customId }], ...script };
    input.customIds.push(customId);
    input.bodyHashes.push(md5(JSON.stringify(body)));
    planted.push(isWide ? NOTHING_PLANTED : its);
    const row = JSON.stringify({ custom_id: customId, method: 'POST', url: endpoint, body });
    rows.push(isPadded && line <= 10 ? row.replace(/}$/, `${PADDING}}`) : row);
  }
  const text = `${rows.join('\n')}\n`;
  const made: MadeInput = { ...input, textHash: md5(text), window, wrongLine, planted };
  return { input: made, text, endpoint };
}
