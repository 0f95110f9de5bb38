import { defineCommand } from './command.ts';
import { utc } from './describe-batch.ts';
import { EXIT } from './exit-codes.ts';
import { count } from './progress-line.ts';
import { table } from './table.ts';
import type { UpstreamView } from '../domain/upstream-view.ts';

const HEADER = ['UPSTREAM', 'WORKERS', 'IN FLIGHT', 'LIMIT', 'ANSWERS/S', 'REFUSALS/S', 'FAULTS/S', 'BATCHES', 'WAITING', 'STATE'];

/** `nightshift upstreams`. */
export const upstreams = defineCommand({
  usage: 'upstreams [options]',
  about: `
Shows all upstreams: what is in flight, the limit that was found, how many requests end how, and what holds requests back. For
operators.`,
  options: { json: { type: 'boolean', help: 'the list as the API answers it, with each server and the last hour' } },
  words: [0, 0],
  async run(values, _words, { api, output }) {
    const answer = await api().client.listUpstreams();
    if (values.json) output.printJson(answer);
    else if (answer.data.length > 0) output.print(table(HEADER, answer.data.map(row)));
    if (!values.json && answer.data.length === 0) output.note('no worker has told of an upstream in the last hour');
    return EXIT.ok;
  },
});

function row(upstream: UpstreamView): string[] {
  const { name, workers, in_flight, limit, answers_per_second, refusals_per_second, faults_per_second } = upstream;
  const rates = [answers_per_second, refusals_per_second, faults_per_second].map(String);
  const batches = [upstream.admitted_batches, upstream.waiting_batches].map((each) => (each === null ? '-' : count(each)));
  return [name, count(workers), count(in_flight), count(limit), ...rates, ...batches, stateOf(upstream)];
}

function stateOf({ paused, paused_at, quiet_until, servers, workers }: UpstreamView): string {
  if (paused !== null) return `${paused === 'everything' ? 'everything is paused' : 'paused'} since ${utc(paused_at ?? 0)}`;
  if (workers === 0) return 'no worker';
  if (quiet_until !== null) return `quiet until ${quiet_until}`;
  const [gate] = servers.flatMap(({ server, gates }) => gates.map((each) => ({ server, ...each })));
  return gate === undefined ? 'open' : `${gate.server} ${gate.reason}${gate.model === null ? '' : ` (${gate.model})`}: ${gate.server_says}`;
}
