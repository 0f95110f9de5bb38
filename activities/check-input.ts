import type { BatchError } from '../src/domain/batch.ts';
import * as fault from '../src/domain/input-errors.ts';
import { createLineSplitter, type InputLine } from '../src/domain/jsonl.ts';
import { type Limits, MAX_BATCH_ERRORS } from '../src/domain/limits.ts';
import { createListCheck } from '../src/domain/model-list.ts';
import type { PlannedLine } from '../src/domain/plan.ts';
import { createRequestLineChecker } from '../src/domain/request-line.ts';
import type { ModelRoute, ModelRoutes } from '../src/upstream/routes.ts';
import { createCustomIds } from './custom-ids.ts';

/** What the lines of an input amount to. */
export type CheckedInput =
  | { verdict: 'refused'; errors: BatchError[] }
  | { verdict: 'accepted'; total: number; model: string | null; upstreams: string[] };

/** Takes the lines of an input one after the other; memory does not grow with the input but for 20 bytes per custom_id. */
export interface InputChecker {
  /** False when nothing that follows can change the verdict. Faulty lines are counted and not planned. */
  take(line: InputLine): boolean;
  /** Whether the input can still be accepted, so that planning it makes sense. */
  readonly isClean: boolean;
  /** Number of the upstream of the line that was taken last, by the order in which upstreams were first needed. */
  readonly upstream: number;
  readonly requests: number;
  verdict(): CheckedInput;
}

/** Checks every line by the rules of the endpoint, and what only all lines together tell: counts, models, duplicates. */
export function createInputChecker({
  endpoint,
  limits,
  routes,
  modelLists,
}: {
  endpoint: string;
  limits: Limits;
  routes: ModelRoutes;
  /** The models that upstreams list, by upstream; others are taken to have every model that is routed to them. */
  modelLists: ReadonlyMap<string, readonly string[]>;
}): InputChecker {
  const listed = new Map([...modelLists].map(([upstream, names]) => [upstream, { names, has: createListCheck(names) }]));
  const customIds = createCustomIds();
  const checker = createRequestLineChecker({ endpoint, limits, lineOf: customIds.lineOf });
  const errors: BatchError[] = [];
  let requests = 0;
  let embeddingInputs = 0;
  /** The model that all lines name so far; null once one names another or none, undefined before the first. */
  let model: string | null | undefined;
  const upstreams: string[] = [];
  let upstream = 0;
  /** Most batches name one model: the route of the last one is known. */
  let last: { model: string | null; route: ModelRoute | null; isKnown: boolean } | null = null;

  function addModel(name: string | null, line: number): void {
    if (last === null || last.model !== name) last = { model: name, route: routes.route(name), isKnown: isKnown(name) };
    model = model === undefined || model === name ? name : null;
    const { route } = last;
    if (name === null && route === null) errors.push(fault.noDefaultModel(line));
    else if (name !== null && !last.isKnown) errors.push(fault.modelNotFound(name, line, modelsOf(route)));
    if (route === null) return;
    upstream = upstreams.indexOf(route.upstream);
    if (upstream === -1) upstream = upstreams.push(route.upstream) - 1;
  }

  /** Whether an upstream has the model, as far as anybody knows. */
  function isKnown(name: string | null): boolean {
    const route = routes.route(name);
    if (route === null || name === null || route.isNamed) return route !== null;
    return listed.get(route.upstream)?.has(name) ?? true;
  }

  function modelsOf(route: ModelRoute | null): { upstream: string | null; known: readonly string[] } {
    if (route === null) return { upstream: null, known: routes.models };
    return { upstream: route.upstream, known: listed.get(route.upstream)?.names ?? [] };
  }

  /** What no single line is to blame for. */
  function wholeFileErrors(): BatchError[] {
    if (requests === 0) return [fault.emptyFile()];
    if (requests > limits.maxRequestsPerBatch) return [fault.tooManyTasks(limits.maxRequestsPerBatch)];
    return embeddingInputs > limits.maxEmbeddingInputs ? [fault.tooManyEmbeddingInputs(limits.maxEmbeddingInputs)] : [];
  }

  return {
    take({ bytes, line }) {
      requests += 1;
      if (requests > limits.maxRequestsPerBatch) return false;
      const checked = checker.check(bytes, line);
      if (checked.errors !== null) errors.push(...checked.errors);
      else {
        embeddingInputs += checked.embeddingInputs;
        addModel(checked.model, line);
      }
      return errors.length <= MAX_BATCH_ERRORS;
    },
    get isClean() {
      return errors.length === 0 && requests <= limits.maxRequestsPerBatch;
    },
    get upstream() {
      return upstream;
    },
    get requests() {
      return requests;
    },
    verdict() {
      const all = [...errors, ...wholeFileErrors()];
      if (all.length > MAX_BATCH_ERRORS) return { verdict: 'refused', errors: [...all.slice(0, MAX_BATCH_ERRORS), fault.tooManyErrors()] };
      if (all.length > 0) return { verdict: 'refused', errors: all };
      return { verdict: 'accepted', total: requests, model: model ?? null, upstreams };
    },
  };
}

/** Of a longer line no more is held until it may be: to check one takes some six times its length in memory. */
const LONG_LINE_BYTES = 1024 * 1024;

/**
 * Reads a stream of bytes through the checker and hands on the lines to be planned. Ends early, which ends the stream too, when
 * nothing more can change the verdict or the plan takes no more, and answers which. `step` is awaited between lines, and
 * `longLine` before more than `LONG_LINE_BYTES` of a line are held; what it answers is disposed when that line is checked.
 */
export async function readThroughChecker(given: {
  body: AsyncIterable<Buffer>;
  maxLineBytes: number;
  checker: InputChecker;
  plan: (line: PlannedLine) => Promise<boolean> | boolean;
  step: () => Promise<void> | void;
  longLine: () => Promise<Disposable>;
}): Promise<'checked' | 'plan_full'> {
  const { body, maxLineBytes, checker, plan, step, longLine } = given;
  const splitter = createLineSplitter({ maxLineBytes });

  /** Null when there may be more to come. */
  async function takeAll(lines: readonly InputLine[]): Promise<'checked' | 'plan_full' | null> {
    for (const found of lines) {
      await step();
      if (!checker.take(found)) return 'checked';
      const { line, offset, length } = found;
      const ofOther = checker.upstream > 0 ? { upstream: checker.upstream } : {};
      if (checker.isClean && !(await plan({ line, offset, length, ...ofOther }))) return 'plan_full';
    }
    return null;
  }

  let turn: Disposable | null = null;
  try {
    for await (const chunk of body) {
      await step();
      const ended = await takeAll(splitter.push(chunk));
      if (ended !== null) return ended;
      const isLong = splitter.heldBytes > LONG_LINE_BYTES;
      if (isLong) turn ??= await longLine();
      else {
        turn?.[Symbol.dispose]();
        turn = null;
      }
    }
    return (await takeAll(splitter.end())) ?? 'checked';
  } finally {
    turn?.[Symbol.dispose]();
  }
}
