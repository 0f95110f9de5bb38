/** Every key of the bucket, in one place (what lies where: ARCHITECTURE.md). Ids begin with an inverted clock, so keys list newest first. */
export const keys = {
  file: (tenant: string, id: string) => `files/${tenant}/${id}`,
  files: (tenant: string) => `files/${tenant}/`,
  content: (tenant: string, id: string) => `content/${tenant}/${id}`,
  contents: (tenant: string) => `content/${tenant}/`,
  tombstone: (tenant: string, id: string) => `deleted/${tenant}/${id}`,
  upload: (nonce: string) => `uploads/${nonce}`,
  /** Everything of a resumable upload (`/v1/uploads`) lies below one prefix: its record, and its parts until they have become a file. */
  resumable: (tenant: string, id: string) => `resumable/${tenant}/${id}/record`,
  resumables: (tenant: string) => `resumable/${tenant}/`,
  resumableParts: (tenant: string, id: string) => `resumable/${tenant}/${id}/parts/`,
  resumablePart: (tenant: string, id: string, part: string) => `resumable/${tenant}/${id}/parts/${part}`,
  /** What finds the lines of a batch that has ended in its result files. It goes with the file that has this id. */
  resultIndex: (tenant: string, fileId: string, part: 'head' | 'lines' | 'custom-ids') => `index/${tenant}/${fileId}/${part}`,
  batch: (tenant: string, id: string) => `batches/${tenant}/${id}`,
  batches: (tenant: string) => `batches/${tenant}/`,
  open: (tenant: string, id: string) => `open/${tenant}/${id}`,
  opens: (tenant: string) => `open/${tenant}/`,
  idempotency: (tenant: string, hash: string) => `idempotency/${tenant}/${hash}`,
  /** Objects that a process writes when it starts, to see what the store can do. */
  probe: (nonce: string, name: string) => `probe/${nonce}/${name}`,
  /** Stands in a store while everything of another one is copied into it. */
  unfinishedCopy: 'copy/unfinished',
  /** What the workers know of a model server; `hash` is of the name of its upstream and its base URL. */
  limit: (hash: string) => `limits/${hash}`,
  /** Which batches run lines of this one again. */
  retry: (tenant: string, id: string, by: string) => `retries/${tenant}/${id}/${by}`,
  retries: (tenant: string, id: string) => `retries/${tenant}/${id}/`,
  webhook: (tenant: string, id: string) => `webhooks/${tenant}/${id}`,
  webhooks: (tenant: string) => `webhooks/${tenant}/`,
  /** The models of an upstream, as a worker told last. */
  models: (upstream: string) => `models/${upstream}`,
  /** What ended on a day (`YYYY-MM-DD`); `part` is the last hex digit of the ids of its batches. */
  usage: (tenant: string, day: string, part: string) => `usage/${tenant}/${day}/${part}`,
  usages: (tenant: string) => `usage/${tenant}/`,
  /** Which upstreams operators have paused. */
  pauses: 'pauses',
  /** What a worker process tells of its upstreams. */
  worker: (id: string) => `workers/${id}`,
  work: (batch: string) => `work/${batch}/`,
  planHead: (batch: string) => `work/${batch}/plan/head`,
  /** Where a line is found by its custom_id. */
  customIds: (batch: string) => `work/${batch}/plan/custom-ids`,
  /** How far a validation had come; in the name is its nonce. */
  planSegment: (batch: string, name: string) => `work/${batch}/plan/segment-${name}`,
  /** The nonce keeps two validations apart, and the head says whose shards count. */
  planShard: (batch: string, shard: number, nonce: string) => `work/${batch}/plan/${shardName(shard)}-${nonce}`,
  pieces: (batch: string, shard: number) => `work/${batch}/${shardName(shard)}/`,
  /** `writer` is a name that no other writer has. */
  piece: (batch: string, shard: number, writer: string, piece: number) =>
    `work/${batch}/${shardName(shard)}/${writer}/${String(piece).padStart(4, '0')}`,
  shardResult: (batch: string, shard: number) => `work/${batch}/result/${shardName(shard)}`,
  shardResults: (batch: string) => `work/${batch}/result/`,
  /** Output and error objects of a shard; the nonce keeps two closers apart. */
  shardObject: (batch: string, shard: number, nonce: string, role: 'output' | 'error') =>
    `work/${batch}/closed/${shardName(shard)}-${nonce}-${role}`,
  /** How far the copy of a result file in the tenant's own bucket is. */
  copied: (batch: string, role: 'output' | 'error') => `work/${batch}/copied/${role}`,
  publish: (batch: string) => `work/${batch}/publish`,
  /** Which lines of open shards have an outcome. */
  tallies: (batch: string) => `work/${batch}/tallies`,
  /** How far the upload of a result file has come. */
  joined: (batch: string, file: string) => `work/${batch}/joined/${file}`,
} as const;

/** `shard-0007`: how a shard is called in keys and workflow ids. */
function shardName(shard: number): string {
  return `shard-${String(shard).padStart(4, '0')}`;
}

/** The number in the name of a shard; null for any other name. */
export function shardNumber(name: string): number | null {
  const digits = /^shard-(\d{4,})$/.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}

/** Prefixes over all tenants and batches, for the sweep. */
export const prefixes = {
  files: 'files/',
  content: 'content/',
  tombstones: 'deleted/',
  uploads: 'uploads/',
  resumable: 'resumable/',
  models: 'models/',
  workers: 'workers/',
  usage: 'usage/',
  open: 'open/',
  work: 'work/',
  idempotency: 'idempotency/',
  probes: 'probe/',
} as const;

/** Tenant and id in a key like `files/<tenant>/<id>`. */
export function ownerOf(key: string): { tenant: string; id: string } {
  const [, tenant = '', id = ''] = key.split('/');
  return { tenant, id };
}
