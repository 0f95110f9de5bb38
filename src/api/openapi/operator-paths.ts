import { named, type Schema } from './json-schema.ts';
import { answer, operation, pathId } from './operation.ts';

const paused = { 200: answer('What is paused now', named('UpstreamPause')) };

/** The endpoints for operators. Keys of other tenants get 403. */
export const operatorPaths: Schema = {
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
