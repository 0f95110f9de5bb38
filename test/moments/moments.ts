import type { Match } from './holding-proxy.ts';

/** An exact moment in the life of a batch: the request to the bucket that a worker makes then, and whether it is stopped before or after. */
export interface Moment {
  name: string;
  when: 'before' | 'after';
  /** The batch has a tenant of its own, and is not known yet when the moment is prepared. */
  match(tenant: string): Match;
  /** How the batch ends when a cancel, or the end of its window, or both arrive at this moment. */
  cancelled: string;
  expired: string;
  both: string;
}

/** Temporal waits 30 s for the activity that does nothing but this, and for any other as long as it beats. */
export function isBrief({ name }: Moment): boolean {
  return /record-(in-progress|finalizing)$/.test(name);
}

/**
 * One moment for each request. An activity whose request waits goes on in the same way before and after MinIO carries it out, unless its
 * process dies or is paused: for a drain and for a workflow that is terminated the two are one moment. Of the two that fall into the
 * publication of files, it is the one whose batch has small files.
 */
export function isRequest(moment: Moment): boolean {
  return moment.when === 'before' && moment !== SECOND_PART;
}

/** As `isRequest`, and both sides of each write of the record, because the API reads and writes it too when it is told to cancel. */
export function isSignalMoment(moment: Moment): boolean {
  return isRequest(moment) || /^after-(record-|terminal-record)/.test(moment.name);
}

/** Something is about to be written or started, and the batch has not ended. */
export function isWrite(moment: Moment): boolean {
  return isRequest(moment) && moment.cancelled === 'cancelled';
}

type Ends = Pick<Moment, 'cancelled' | 'expired' | 'both'>;

/** The record moves to a status. */
const record =
  (status: string) =>
  (tenant: string): Match =>
  ({ method, path, body }) =>
    method === 'PUT' && path.includes(`/batches/${tenant}/`) && body.includes(`"status":"${status}"`);

/** A key below `work/<batch>/`. */
const work =
  (pattern: RegExp, wanted: 'GET' | 'PUT' = 'PUT') =>
  (batchOf: (tenant: string) => string | undefined) =>
  (tenant: string): Match =>
  ({ method, path }) => {
    const batch = batchOf(tenant);
    const at = batch === undefined ? -1 : path.indexOf(`/work/${batch}/`);
    return method === wanted && at >= 0 && pattern.test(path.slice(at + `/work/${batch}/`.length));
  };

const ALL_CANCELLED: Ends = { cancelled: 'cancelled', expired: 'expired', both: 'cancelled' };
/** All lines have their answer: the end of the window does not matter any more. */
const ALL_ANSWERED: Ends = { cancelled: 'cancelled', expired: 'completed', both: 'cancelled' };
const ENDED: Ends = { cancelled: 'completed', expired: 'completed', both: 'completed' };

/** Every named moment that a worker can die, stand still or be overtaken at. `batchOf` answers the batch of a tenant, once it is there. */
export function momentsOf(batchOf: (tenant: string) => string | undefined): Moment[] {
  const at = (name: string, when: Moment['when'], match: Moment['match'], ends: Ends): Moment => ({
    name: `${when}-${name}`,
    when,
    match,
    ...ends,
  });
  const file = (skip: number) => (tenant: string) => {
    let seen = 0;
    const match: Match = ({ method, path }) => method === 'PUT' && path.includes(`/files/${tenant}/`) && (seen += 1) > skip;
    return match;
  };
  const marker =
    (tenant: string): Match =>
    ({ method, path, body }) => {
      const key = `open/${tenant}/${batchOf(tenant)}`;
      return (method === 'DELETE' && path.includes(key)) || (method === 'POST' && body.includes(key));
    };
  return [
    at('plan-of-a-shard', 'before', work(/^plan\/shard-/)(batchOf), ALL_CANCELLED),
    at('head-of-the-plan', 'before', work(/^plan\/head/)(batchOf), ALL_CANCELLED),
    at('head-of-the-plan', 'after', work(/^plan\/head/)(batchOf), ALL_CANCELLED),
    at('record-in-progress', 'before', record('in_progress'), ALL_CANCELLED),
    at('record-in-progress', 'after', record('in_progress'), ALL_CANCELLED),
    // The batch has just started the shard, whose first slice reads which lines it has.
    at('start-of-a-shard', 'before', work(/^plan\/shard-/, 'GET')(batchOf), ALL_CANCELLED),
    at('piece', 'before', work(/^shard-/)(batchOf), ALL_ANSWERED),
    at('piece', 'after', work(/^shard-/)(batchOf), ALL_ANSWERED),
    at('objects-of-a-shard', 'before', work(/^closed\//)(batchOf), ALL_ANSWERED),
    at('shard-result', 'before', work(/^result\//)(batchOf), ALL_ANSWERED),
    at('shard-result', 'after', work(/^result\//)(batchOf), ALL_ANSWERED),
    at('record-finalizing', 'before', record('finalizing'), ALL_ANSWERED),
    at('record-finalizing', 'after', record('finalizing'), ALL_ANSWERED),
    at('publication', 'before', work(/^publish/)(batchOf), ALL_ANSWERED),
    at('publication', 'after', work(/^publish/)(batchOf), ALL_ANSWERED),
    at(
      'bytes-of-a-file',
      'before',
      (tenant) =>
        ({ method, path }) =>
          method === 'PUT' && path.includes(`/content/${tenant}/`),
      ALL_ANSWERED,
    ),
    at('first-file-record', 'before', file(0), ALL_ANSWERED),
    at('second-file-record', 'before', file(1), ALL_ANSWERED),
    at('second-file-record', 'after', file(1), ALL_ANSWERED),
    at('terminal-record', 'before', record('completed'), ALL_ANSWERED),
    at('terminal-record', 'after', record('completed'), ENDED),
    at('open-marker', 'before', marker, ENDED),
    at('open-marker', 'after', marker, ENDED),
  ];
}

/** Between two parts of a result file; its batch has an output of two parts. */
export const SECOND_PART: Moment = {
  name: 'before-second-part',
  when: 'before',
  match:
    (tenant) =>
    ({ method, path }) =>
      method === 'PUT' && path.includes(`/content/${tenant}/`) && path.includes('partNumber=2'),
  ...ALL_ANSWERED,
};
