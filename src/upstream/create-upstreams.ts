import type { Sent } from '../domain/attempt.ts';
import { createNameTable } from '../domain/name-table.ts';
import { rewriteBody } from '../domain/rewrite-body.ts';
import { Admission, type AdmissionOptions } from './admission/admission.ts';
import type { WaitReason } from './admission/entrant.ts';
import { createServerClient, type UpstreamRequest } from './client/client.ts';
import type { ConcurrencyControl } from './admission/concurrency-control.ts';
import type { ClosedGate } from './admission/gate.ts';
import { createIntake } from './admission/intake.ts';
import type { Way } from './client/open-connection.ts';
import { createRedaction } from './client/redact.ts';
import { createSchedule, type Schedule } from './admission/schedule.ts';
import { createSendBudget } from './admission/send-budget.ts';
import { createServerControl, type LimitSharing, type ServerControl } from './admission/server-control.ts';
import { UpstreamServer } from './admission/server.ts';
import type { Upstream } from './upstream.ts';

/** What is configured of an upstream, credentials apart. */
export interface UpstreamOptions {
  name: string;
  baseUrls: readonly string[];
  /** What a model is called there, by names and patterns of what clients call it. */
  aliases: Readonly<Record<string, string>>;
  /** Members that a request gets if it has none of their name. */
  add: Readonly<Record<string, unknown>>;
  /** Most requests in flight at each server, from all workers together where they share the limit. */
  maxInFlight: number;
  /** `adaptive` finds the number in flight up to `maxInFlight`; `fixed` keeps it there. */
  limiter: 'adaptive' | 'fixed';
  /** Requests per minute from all workers together, held by the rate of the task queue; null for no limit. */
  requestsPerMinute: number | null;
  /** Tokens this process may use per minute; null when only the upstream's own headers count. */
  tokensPerMinute: number | null;
  requestTimeoutMs: number;
  maxResponseBytes: number;
  maxFaults: number;
  /** Null when refusals never end a request before its window. */
  maxRefusals: number | null;
  unavailableMaxMs: number | null;
  oneModelAtATime: boolean;
  /** Hours in which requests may go out; null for always. */
  active: readonly string[] | null;
  /** Most requests in flight at each server by hours. */
  maxInFlightByHour: Readonly<Record<string, number>>;
}

/** What an upstream lets us in with; never shown. */
export interface UpstreamSecrets {
  apiKey: string | null;
  headers: Readonly<Record<string, string>>;
  /** How connections are made, by base URL; directly where it says nothing. */
  ways?: Readonly<Record<string, Way>>;
}

/** What is told of the upstreams while they are used. All of it is optional to hear. */
export interface UpstreamWatch {
  /** Calls `send` with the headers to add, once. */
  sending(upstream: string, request: UpstreamRequest, send: (request: UpstreamRequest) => Promise<Sent>): Promise<Sent>;
  waited(upstream: string, reason: WaitReason['kind'], seconds: number): void;
  /** `model` is null for a whole server, `server` its host and port. */
  gateChanged(at: { upstream: string; server: string; model: string | null }, closed: ClosedGate | null, before: ClosedGate | null): void;
}

/** Time, for tests. */
export interface Clocks {
  nowMs: () => number;
  monotonicMs: () => number;
  /** How long an attempt that failed may wait to learn whether all others fail too. */
  settleMs: number;
}

const SYSTEM_CLOCKS: Clocks = { nowMs: Date.now, monotonicMs: () => performance.now(), settleMs: 5_000 };
const NO_WATCH: UpstreamWatch = {
  sending: async (_upstream, request, send) => await send(request),
  waited: () => undefined,
  gateChanged: () => undefined,
};

/** Most slices of one upstream that a process takes at a time. */
const MAX_SLICES = 2000;
/** An answer that keeps trickling in may take this many request timeouts as a whole. */
const TOTAL_TIMEOUTS = 2;
/** Probes go out beside the limit, and a connection that is given up counts until it is closed. */
const CONNECTIONS_PER_PLACE = 1.25;
/** With few places the share above leaves none. */
const CONNECTIONS_FOR_PROBES = 4;
/** A wait for budgets is looked at again after this, because headers of an answer may have told of a later one. */
const MAX_BUDGET_WAIT_MS = 60_000;

/** All configured upstreams by name; `secrets` are by name too. */
export function createUpstreams(
  configured: readonly UpstreamOptions[],
  secrets: Readonly<Record<string, UpstreamSecrets>>,
  watch: UpstreamWatch = NO_WATCH,
  clocks: Clocks = SYSTEM_CLOCKS,
  sharing: LimitSharing | null = null,
): Map<string, Upstream> {
  return new Map(
    configured.map((options) => [
      options.name,
      createUpstream(options, secrets[options.name] ?? { apiKey: null, headers: {} }, { watch, clocks, sharing }),
    ]),
  );
}

function createUpstream(
  options: UpstreamOptions,
  secrets: UpstreamSecrets,
  { watch, clocks, sharing }: { watch: UpstreamWatch; clocks: Clocks; sharing: LimitSharing | null },
): Upstream {
  const { name, unavailableMaxMs, maxFaults, maxRefusals, requestsPerMinute } = options;
  const schedule = createSchedule(options, clocks.nowMs);
  const controls: ServerControl[] = [];
  const servers = options.baseUrls.map((baseUrl) => {
    const found = createServerControl({ ...options, upstream: name, baseUrl, secrets, sharing, monotonicMs: clocks.monotonicMs });
    controls.push(found);
    return createServer(baseUrl, options, secrets, { clocks, schedule, control: found.control }, (server, model, closed, before) => {
      if (closed !== null) admission.turnAway();
      admission.pump();
      watch.gateChanged({ upstream: name, server, model }, closed, before);
    });
  });
  const admission: Admission = new Admission({
    servers,
    unavailableMaxMs,
    oneModelAtATime: options.oneModelAtATime,
    budget: createSendBudget({ tokensPerMinute: options.tokensPerMinute, maxWaitMs: MAX_BUDGET_WAIT_MS }),
    schedule,
    ...clocks,
    send: sendThrough(name, watch),
    onWaited: (reason, seconds) => watch.waited(name, reason, seconds),
  });
  const sum = (of: (server: UpstreamServer) => number) => servers.reduce((total, server) => total + of(server), 0);
  return {
    name,
    rules: { maxFaults, maxRefusals },
    rewrite: createRewrite(options),
    copiesBodies: changesBodies(options),
    requestsPerMinute,
    intake: createIntake({ limit: () => sum(({ limit }) => limit), maxSlices: MAX_SLICES, monotonicMs: clocks.monotonicMs }),
    get limit() {
      return sum(({ limit }) => limit);
    },
    get reach() {
      return sum(({ reach }) => reach);
    },
    servers: servers.length,
    get inFlight() {
      return sum(({ inFlight }) => inFlight);
    },
    get waiting() {
      return admission.waiting;
    },
    get closedGates() {
      return servers.flatMap(({ label, closedGates }) => closedGates.map((gate) => ({ server: label, ...gate })));
    },
    get quietUntil() {
      return schedule.closed()?.inWords ?? null;
    },
    serverStates: () =>
      servers.map(({ label, limit, inFlight, ended, closedGates }) => ({
        server: label,
        limit,
        inFlight,
        ended: { ...ended },
        gates: closedGates.map(({ model, closed }) => ({
          model,
          kind: closed.kind,
          serverSays: closed.reason,
          sinceMs: closed.sinceMs,
        })),
      })),
    get pause() {
      return admission.pause;
    },
    set pause(pause) {
      admission.pause = pause;
    },
    enter: (entrant, signal) => admission.enter(entrant, signal),
    numberOf: (server) => (server === null ? null : servers.indexOf(server)),
    serverAt: (number) => (number === null ? null : (servers[number] ?? null)),
    reasonFor: (entrant) => admission.reasonFor(entrant),
    givenUpMessage: `the upstream has been unavailable for longer than ${(unavailableMaxMs ?? 0) / 1000} s`,
    async follow(signal) {
      const waiting = () => Math.ceil(admission.waiting / servers.length);
      const loadOf = (number: number) => ({ inFlight: () => servers[number]?.inFlight ?? 0, waiting, onChange: admission.pump });
      await Promise.all(controls.map(async (control, number) => await control.follow(loadOf(number), signal)));
    },
    close: async () => void (await Promise.all(servers.map(async ({ client }) => await client.close()))),
  };
}

function changesBodies({ aliases, add }: Pick<UpstreamOptions, 'aliases' | 'add'>): boolean {
  return Object.keys(aliases).length > 0 || Object.keys(add).length > 0;
}

function createRewrite({ aliases, add }: Pick<UpstreamOptions, 'aliases' | 'add'>): Upstream['rewrite'] {
  if (!changesBodies({ aliases, add })) return (body) => body;
  const changes = { alias: createNameTable(Object.entries(aliases)), additions: add };
  return (body) => rewriteBody(body, changes);
}

function sendThrough(upstream: string, watch: UpstreamWatch): AdmissionOptions['send'] {
  return async (server, request, signal) =>
    await watch.sending(upstream, request, async (traced) => await server.client.send(traced, signal));
}

function createServer(
  baseUrl: string,
  options: UpstreamOptions,
  { apiKey, headers, ways = {} }: UpstreamSecrets,
  { clocks, schedule, control }: { clocks: Clocks; schedule: Schedule; control: ConcurrencyControl },
  onGateChange: (server: string, model: string | null, closed: ClosedGate | null, before: ClosedGate | null) => void,
): UpstreamServer {
  const { maxInFlight, requestTimeoutMs, maxResponseBytes } = options;
  const label = new URL(baseUrl).host;
  const client = createServerClient({
    baseUrl,
    apiKey,
    headers,
    requestTimeoutMs,
    totalTimeoutMs: TOTAL_TIMEOUTS * requestTimeoutMs,
    maxResponseBytes,
    connections: Math.ceil(maxInFlight * CONNECTIONS_PER_PLACE) + CONNECTIONS_FOR_PROBES,
    way: ways[baseUrl],
    redact: createRedaction({ apiKey, headers, urls: [...options.baseUrls, ...Object.values(ways).flatMap(({ proxy }) => proxy ?? [])] }),
    nowMs: clocks.nowMs,
  });
  return new UpstreamServer({
    label,
    client,
    control,
    schedule,
    ...clocks,
    onGateChange: (model, closed, before) => onGateChange(label, model, closed, before),
  });
}
