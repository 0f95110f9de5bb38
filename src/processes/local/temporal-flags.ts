import { SEARCH_ATTRIBUTES } from '../../../workflows/contract.ts';

/** Values of Temporal's dynamic configuration that Nightshift counts on. docs/operations.md says which of them a Temporal of your own needs. */
const DYNAMIC_CONFIG = [
  'history.MaxBufferedQueryCount=100',
  'history.maximumBufferedEventsBatch=1000',
  'matching.numTaskqueueReadPartitions=1',
  'matching.numTaskqueueWritePartitions=1',
  'matching.enableFairness=true',
  'matching.rps=20000',
  'history.rps=20000',
  'frontend.rps=20000',
  'frontend.namespaceRPS=20000',
];

/**
 * What every dev server of Temporal gets beside its addresses: in `nightshift local`, in docker-compose.yml (a test compares
 * the two) and in the tests, so that they all run the server that ships.
 */
export const TEMPORAL_FLAGS: readonly string[] = [
  ...SEARCH_ATTRIBUTES.map((name) => `--search-attribute=${name}=Keyword`),
  ...DYNAMIC_CONFIG.map((value) => `--dynamic-config-value=${value}`),
];

/**
 * What it gets beside `--db-filename`. Without these SQLite syncs every transaction to the disk, which costs nine tenths of the
 * speed; a process that dies loses nothing with them either.
 */
export const TEMPORAL_FILE_FLAGS: readonly string[] = ['--sqlite-pragma=journal_mode=wal', '--sqlite-pragma=synchronous=normal'];
