import type { BatchError } from './batch.ts';
import { type CheckedInput, type CheckedRequest, createInputChecker, type InputChecker } from './check-input.ts';
import type { Digest } from './custom-ids.ts';
import { inputTokensOf, measureRequest, TOKEN_METHOD } from './estimate-tokens.ts';
import type { Limits } from './limits.ts';
import { createModelRoutes } from './model-routes.ts';
import { createNameTable } from './name-table.ts';
import type { PriceTable } from './prices.ts';
import { paceOf, type UpstreamFacts } from './upstream-facts.ts';

/** What a batch would amount to, as clients see it. Requests with faults are in `requests` and in nothing else. */
export interface BatchEstimate {
  object: 'batch.estimate';
  input_file_id: string;
  endpoint: string;
  /** Whether the batch would run. */
  valid: boolean;
  errors: { object: 'list'; data: BatchError[] } | null;
  requests: number;
  /** The most frequent ones first. */
  models: ModelEstimate[];
  upstreams: UpstreamEstimate[];
  input_tokens: number;
  /** Null where a request sets no limit. */
  max_output_tokens: number | null;
  token_method: typeof TOKEN_METHOD;
  /** Requests with pictures, sound or files, which `input_tokens` leaves out. */
  requests_with_media: number;
  /** Null where the pace of an upstream is not known. */
  seconds: number | null;
  /** Null where a model has no price. */
  cost: Cost | null;
}

interface ModelEstimate {
  /** Null for requests that name none, and for those of all models beyond the first thousand. */
  model: string | null;
  upstream: string | null;
  /** What the model is called there. */
  upstream_model: string | null;
  requests: number;
  input_tokens: number;
  max_output_tokens: number | null;
  requests_with_media: number;
  cost: Cost | null;
}

interface UpstreamEstimate {
  name: string;
  requests: number;
  requests_per_second: number | null;
  seconds: number | null;
}

/** `max_output` and `max_total` are null where a request sets no limit to its answer. */
interface Cost {
  currency: string;
  input: number;
  max_output: number | null;
  max_total: number | null;
}

/** Models that are told apart. */
const MAX_MODELS = 1000;

interface Sums {
  model: string | null;
  upstream: string | null;
  requests: number;
  textBytes: number;
  tokenNumbers: number;
  maxOutputTokens: number | null;
  withMedia: number;
}

/** Checks an input as validation does, and sums up what passes. `upstreams` is empty where no worker has told of any. */
export function createBatchEstimator(given: {
  endpoint: string;
  limits: Limits;
  upstreams: readonly UpstreamFacts[];
  prices: PriceTable | null;
  digest: Digest;
}): {
  checker: InputChecker;
  /** `verdict` is of the checker, or one that needs no look at the lines. */
  estimate(inputFileId: string, verdict: CheckedInput): BatchEstimate;
} {
  const { endpoint, limits, prices, digest } = given;
  const upstreams = new Map(given.upstreams.map((upstream) => [upstream.name, upstream]));
  const sums = new Map<string, Sums>();

  function add({ bytes, model, upstream }: CheckedRequest): void {
    const known = sums.get(keyOf(model, upstream)) !== undefined || sums.size < MAX_MODELS;
    const key = known ? keyOf(model, upstream) : '';
    const sum = sums.get(key) ?? emptySums(known ? model : null, upstreams.has(upstream) && known ? upstream : null);
    sums.set(key, sum);
    const size = measureRequest(bytes, endpoint);
    sum.requests += 1;
    sum.textBytes += size.textBytes;
    sum.tokenNumbers += size.tokenNumbers;
    sum.maxOutputTokens = added(sum.maxOutputTokens, size.maxOutputTokens);
    if (size.hasMedia) sum.withMedia += 1;
    requestsOf.set(upstream, (requestsOf.get(upstream) ?? 0) + 1);
  }
  const requestsOf = new Map<string, number>();

  const checker = createInputChecker({
    endpoint,
    limits,
    digest,
    // Without a worker nothing is known of the models, so all of them pass.
    routes: createModelRoutes(given.upstreams.length === 0 ? [{ name: '', models: null }] : given.upstreams),
    modelLists: { of: async (name) => await Promise.resolve(upstreams.get(name)?.listed ?? null) },
    onRequest: add,
  });

  function modelEstimate(sum: Sums): ModelEstimate {
    const { model, upstream, requests, maxOutputTokens } = sum;
    const aliases = upstreams.get(upstream ?? '')?.aliases ?? {};
    const upstreamModel = model === null || upstream === null ? null : (createNameTable(Object.entries(aliases))(model) ?? model);
    const tokens = { input: inputTokensOf(sum), maxOutput: maxOutputTokens };
    const price = prices?.find(model, upstreamModel) ?? null;
    return {
      model,
      upstream,
      upstream_model: upstreamModel,
      requests,
      input_tokens: tokens.input,
      max_output_tokens: maxOutputTokens,
      requests_with_media: sum.withMedia,
      cost:
        prices === null || price === null
          ? null
          : costOf(prices.currency, per(tokens.input, price.input), per(maxOutputTokens, price.output)),
    };
  }

  return {
    checker,
    estimate(inputFileId, verdict) {
      const models = [...sums.values()].map(modelEstimate).sort((a, b) => b.requests - a.requests);
      const served = [...upstreams.values()].flatMap((upstream): UpstreamEstimate[] => {
        const requests = requestsOf.get(upstream.name);
        if (requests === undefined) return [];
        const pace = paceOf(upstream);
        return [{ name: upstream.name, requests, requests_per_second: pace, seconds: pace === null ? null : Math.ceil(requests / pace) }];
      });
      return {
        object: 'batch.estimate',
        input_file_id: inputFileId,
        endpoint,
        valid: verdict.verdict === 'accepted',
        errors: verdict.verdict === 'accepted' ? null : { object: 'list', data: verdict.errors },
        requests: checker.requests,
        models,
        upstreams: served,
        input_tokens: models.reduce((sum, { input_tokens }) => sum + input_tokens, 0),
        max_output_tokens: models.reduce<number | null>((sum, { max_output_tokens }) => added(sum, max_output_tokens), 0),
        token_method: TOKEN_METHOD,
        requests_with_media: models.reduce((sum, { requests_with_media }) => sum + requests_with_media, 0),
        // Upstreams work at the same time.
        seconds: served.length === 0 ? null : served.reduce<number | null>((most, { seconds }) => longer(most, seconds), 0),
        cost: prices === null ? null : totalCost(prices.currency, models),
      };
    },
  };
}

function keyOf(model: string | null, upstream: string): string {
  return JSON.stringify([model, upstream]);
}

function emptySums(model: string | null, upstream: string | null): Sums {
  return { model, upstream, requests: 0, textBytes: 0, tokenNumbers: 0, maxOutputTokens: 0, withMedia: 0 };
}

function added(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : a + b;
}

function longer(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : Math.max(a, b);
}

function per(tokens: number | null, pricePerMillion: number): number | null {
  return tokens === null ? null : (tokens * pricePerMillion) / 1_000_000;
}

function costOf(currency: string, input: number | null, maxOutput: number | null): Cost | null {
  if (input === null) return null;
  return { currency, input: rounded(input), max_output: rounded(maxOutput), max_total: rounded(added(input, maxOutput)) };
}

function totalCost(currency: string, models: readonly ModelEstimate[]): Cost | null {
  const sum = (part: 'input' | 'max_output') =>
    models.reduce<number | null>((total, { cost }) => added(total, cost === null ? null : cost[part]), 0);
  return models.length === 0 ? null : costOf(currency, sum('input'), sum('max_output'));
}

/** To a millionth, so that sums show no digits of binary fractions. */
function rounded<T extends number | null>(amount: T): T | number {
  return amount === null ? amount : Math.round(amount * 1_000_000) / 1_000_000;
}
