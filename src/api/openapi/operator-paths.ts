import { always, count, named, oneOf, type Schema, text, textOrNull, unixSeconds, unixSecondsOrNull, whole } from './json-schema.ts';
import { answer, operation, pathId } from './operation.ts';

const paused = { 200: answer('What is paused now', named('UpstreamPause')) };

/** The endpoints for operators. Keys of other tenants get 403. */
export const operatorPaths: Schema = {
  '/v1/nightshift/upstreams': {
    get: operation('listUpstreams', 'Operators: all upstreams, with their servers and the last hour', {
      success: { 200: answer('All upstreams that workers have told of in the last hour', named('UpstreamList')) },
      errors: [403],
    }),
  },
  '/v1/nightshift/pause': {
    post: operation('pauseEverything', 'Operators: send no new request to any upstream', { success: paused, errors: [403] }),
  },
  '/v1/nightshift/resume': {
    post: operation('resumeEverything', 'Operators: let requests go, but for upstreams that are paused', {
      success: paused,
      errors: [403],
    }),
  },
  '/v1/nightshift/upstreams/{id}/pause': {
    parameters: [pathId('upstream, which is its name')],
    post: operation('pauseUpstream', 'Operators: send no new request to an upstream', { success: paused, errors: [403, 404] }),
  },
  '/v1/nightshift/upstreams/{id}/resume': {
    parameters: [pathId('upstream, which is its name')],
    post: operation('resumeUpstream', 'Operators: let requests to an upstream go', { success: paused, errors: [403, 404] }),
  },
};

const number: Schema = { type: 'number', minimum: 0 };
const list = (items: Schema): Schema => ({ type: 'array', items });
const load = { limit: number, in_flight: number, answers_per_second: number, refusals_per_second: number, faults_per_second: number };
const paused_by: Schema = { enum: ['upstream', 'everything', null], description: 'What is paused; null where requests go' };
const gate = whole({
  model: { ...textOrNull, description: 'Null for the whole server' },
  reason: oneOf(['upstream_away', 'upstream_refuses', 'upstream_fails', 'upstream_denies']),
  server_says: text,
  since: unixSeconds,
});

export const operatorSchemas: Readonly<Record<string, Schema>> = {
  UpstreamPause: whole({
    object: always('nightshift.pause'),
    upstream: { ...textOrNull, description: 'Its name; null for everything' },
    paused_at: unixSecondsOrNull,
    paused: paused_by,
  }),
  Upstream: whole({
    object: always('nightshift.upstream'),
    name: text,
    models: list(text),
    paused: paused_by,
    paused_at: unixSecondsOrNull,
    quiet_until: { ...textOrNull, description: 'When its quiet hours end; null outside of them' },
    workers: count,
    ...load,
    waiting_requests: count,
    admitted_batches: { type: ['integer', 'null'], minimum: 0 },
    waiting_batches: { type: ['integer', 'null'], minimum: 0 },
    servers: list(whole({ server: text, ...load, gates: list(gate) })),
    history: list(whole({ at: unixSeconds, limit: number, in_flight: number, answers: number, refusals: number, faults: number })),
  }),
  UpstreamList: whole({ object: always('list'), paused_at: unixSecondsOrNull, data: list(named('Upstream')) }),
};
