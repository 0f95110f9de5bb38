import type { BatchError } from './batch.ts';
import { createModelCheck } from './check-models.ts';
import { createCustomIds, type Digest } from './custom-ids.ts';
import * as fault from './input-errors.ts';
import { createLineSplitter, type InputLine } from './jsonl.ts';
import { type Limits, LONG_LINE_BYTES, MAX_BATCH_ERRORS } from './limits.ts';
import type { ModelLists } from './model-list.ts';
import type { ModelRoutes } from './model-routes.ts';
import type { CheckedSoFar, PlannedLine } from './plan.ts';
import { createRequestLineChecker, readRequestLine } from './request-line.ts';

/** What the lines of an input amount to. */
export type CheckedInput =
  | { verdict: 'refused'; errors: BatchError[] }
  | { verdict: 'accepted'; total: number; model: string | null; models: (string | null)[]; upstreams: string[] };

/** Takes the lines of an input one after the other; memory does not grow with the input but for 20 bytes per custom_id. */
export interface InputChecker {
  /**
   * False when nothing that follows can change the verdict. Faulty lines are counted and not planned. A promise, where an upstream must
   * first tell its models; it comes before the next call.
   */
  take(line: InputLine): boolean | Promise<boolean>;
  /** Whether the input can still be accepted, so that planning it makes sense. */
  readonly isClean: boolean;
  /** Number of the upstream of the line that was taken last, by the order in which upstreams were first needed. */
  readonly upstream: number;
  /** Number of the model of that line, by the order in which models were first named. */
  readonly model: number;
  /** The custom_id of the last line without faults. */
  readonly customId: string;
  /** The earlier line with the same body as the last line without faults; null where there is none, or where equal ones are not looked for. */
  readonly copyOf: number | null;
  readonly requests: number;
  verdict(): CheckedInput;
  /** For another checker that goes on from here, with `takeCustomIds`: the custom_ids since the last call. */
  state(): CheckedSoFar;
  takeCustomIds(): Buffer;
  takeBodies(): Buffer;
  /** See `CustomIds`. */
  customIdIndex(): Buffer;
}

/** A line without faults, as the checker saw it. */
export interface CheckedRequest {
  bytes: Uint8Array;
  model: string | null;
  /** Name of its upstream. */
  upstream: string;
  /** Inputs of an embeddings request; 0 elsewhere. */
  embeddingInputs: number;
}

/**
 * Checks every line by the rules of the endpoint, and what only all lines together tell: counts, models, duplicates. `onRequest` gets each line
 * without faults, whatever the other lines are like.
 */
export function createInputChecker({
  endpoint,
  limits,
  routes,
  modelLists,
  digest,
  from = null,
  mostErrors = MAX_BATCH_ERRORS,
  onRequest = () => undefined,
  deduplicates = false,
}: {
  endpoint: string;
  limits: Limits;
  routes: ModelRoutes;
  modelLists: ModelLists;
  digest: Digest;
  /** What an earlier checker has found; its `customIds` and `bodies` are taken out. */
  from?: { checked: CheckedSoFar; customIds: Buffer[]; bodies: Buffer[] } | null;
  /** Whether to look for equal bodies. */
  deduplicates?: boolean;
  /** Errors after which checking stops. */
  mostErrors?: number;
  onRequest?: (request: CheckedRequest) => void;
}): InputChecker {
  const checked = from?.checked ?? { requests: 0, embeddingInputs: 0, errors: [], models: null };
  const customIds = createCustomIds(digest);
  // Taken out, because those of ten million lines are 200 MB.
  for (const bytes of from?.customIds.splice(0) ?? []) customIds.restore(bytes);
  const bodies = createCustomIds(digest);
  for (const bytes of from?.bodies.splice(0) ?? []) bodies.restore(bytes);
  let copyOf: number | null = null;
  const checker = createRequestLineChecker({ endpoint, limits, lineOf: customIds.lineOf });
  const errors: BatchError[] = [...checked.errors];
  let { requests, embeddingInputs } = checked;
  let customId = '';
  const models = createModelCheck({ routes, modelLists, from: checked.models });

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
      const add = (more: readonly BatchError[]) => {
        errors.push(...more);
        return errors.length <= mostErrors;
      };
      if (checked.errors !== null) return add(checked.errors);
      const { model } = checked;
      ({ customId } = checked);
      embeddingInputs += checked.embeddingInputs;
      const addModel = () => {
        const wrong = models.add(model, line);
        copyOf = deduplicates && bytes !== null ? bodies.lineOfBytes(readRequestLine(bytes).body, line) : null;
        if (wrong.length === 0 && bytes !== null)
          onRequest({ bytes, model, upstream: models.upstreams[models.upstream] ?? '', embeddingInputs: checked.embeddingInputs });
        return add(wrong);
      };
      const asked = models.ask(model);
      return asked === null ? addModel() : asked.then(addModel);
    },
    get isClean() {
      return errors.length === 0 && requests <= limits.maxRequestsPerBatch;
    },
    get upstream() {
      return models.upstream;
    },
    get model() {
      return models.number;
    },
    get copyOf() {
      return copyOf;
    },
    get customId() {
      return customId;
    },
    get requests() {
      return requests;
    },
    state: () => ({ requests, embeddingInputs, errors: [...errors], models: models.state() }),
    takeBodies: () => bodies.takeNew(),
    takeCustomIds: () => customIds.takeNew(),
    customIdIndex: () => customIds.index(),
    verdict() {
      const all = [...errors, ...wholeFileErrors()];
      if (all.length > mostErrors) return { verdict: 'refused', errors: [...all.slice(0, mostErrors), fault.tooManyErrors(mostErrors)] };
      if (all.length > 0) return { verdict: 'refused', errors: all };
      return { verdict: 'accepted', total: requests, model: models.model, models: [...models.names], upstreams: models.upstreams };
    },
  };
}

/**
 * Reads a stream of bytes through the checker and hands on the lines to be planned. Ends early, which ends the stream too, when
 * nothing more can change the verdict or the plan takes no more, and answers which. `step` is awaited between lines, and
 * `longLine` when more than `LONG_LINE_BYTES` of the line at that offset are held; what it answers is disposed when that line is checked.
 */
export async function readThroughChecker(given: {
  body: AsyncIterable<Buffer>;
  maxLineBytes: number;
  checker: InputChecker;
  plan: (line: PlannedLine) => Promise<boolean> | boolean;
  step: () => Promise<void> | void;
  longLine: (offset: number) => Promise<Disposable>;
  /** After which line the stream begins, and where in the file. */
  from: { line: number; offset: number };
  /** Called with each line once it is planned, and with the offset at which it ends; awaited if it answers a promise. */
  taken: (line: { line: number; end: number }) => Promise<void> | null;
}): Promise<'checked' | 'plan_full'> {
  const { body, maxLineBytes, checker, plan, step, longLine, from, taken } = given;
  const splitter = createLineSplitter({ maxLineBytes, from });

  /** Null when there may be more to come. */
  async function takeAll(lines: readonly InputLine[]): Promise<'checked' | 'plan_full' | null> {
    for (const found of lines) {
      await step();
      const goesOn = checker.take(found);
      if (!(typeof goesOn === 'boolean' ? goesOn : await goesOn)) return 'checked';
      const { line, offset, length } = found;
      const ofOther = checker.upstream > 0 ? { upstream: checker.upstream } : {};
      const { customId, model, copyOf } = checker;
      const others = { ...ofOther, ...(model > 0 ? { model } : {}), ...(copyOf === null ? {} : { copyOf }) };
      if (checker.isClean && !(await plan({ line, offset, length, customId, ...others }))) return 'plan_full';
      const saved = taken({ line, end: offset + length });
      if (saved !== null) await saved;
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
      if (isLong) turn ??= await longLine(splitter.offset);
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
