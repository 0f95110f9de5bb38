import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'minio';
import type { TestMinio } from '../helpers/servers.ts';

/**
 * What a store does not keep to. `checks-before` compares the ETag of If-Match and writes later, `checks-before-sometimes` does so for few
 * keys, `creates-before` does it for If-None-Match, `refuses` answers 501 to conditions,
 * `always-412` fails every one. Lists come in the order of a dictionary, backwards, without their start-after, or anew with every page.
 */
export type Carelessness =
  | 'no-if-none-match'
  | 'no-if-match'
  | 'checks-before'
  | 'checks-before-sometimes'
  | 'creates-before'
  | 'refuses'
  | 'always-412'
  | 'dictionary-order'
  | 'backwards'
  | 'no-start-after'
  | 'no-pages'
  | 'stale-reads';

/** A store that is MinIO, but for one thing: a proxy that answers some calls itself, with a client of its own. */
export async function startCarelessStore(
  { endpoint, accessKey, secretKey }: TestMinio,
  careless: Carelessness,
): Promise<{ endpoint: string } & AsyncDisposable> {
  const { hostname, port } = new URL(endpoint);
  const client = new Client({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey, region: 'us-east-1' });

  async function write(bucketName: string, objectName: string, body: Buffer, outgoing: ServerResponse): Promise<void> {
    const { etag } = await client.putObject(bucketName, objectName, body);
    outgoing.writeHead(200, { etag: `"${etag}"` }).end();
  }

  /** Whether it answered a PUT itself. */
  async function isOwnWrite(incoming: IncomingMessage, outgoing: ServerResponse, bucket: string, key: string): Promise<boolean> {
    const { 'if-none-match': none, 'if-match': match } = incoming.headers;
    if (none === undefined && match === undefined) return false;
    const refuse = (status: number, code: string) =>
      void outgoing.writeHead(status).end(`<Error><Code>${code}</Code><Message>planted</Message></Error>`);
    if (careless === 'refuses') return (refuse(501, 'NotImplemented'), true);
    if (careless === 'always-412' && match !== undefined) return (refuse(412, 'PreconditionFailed'), true);
    const isIgnored = (careless === 'no-if-none-match' && none !== undefined) || (careless === 'no-if-match' && match !== undefined);
    const isChecked =
      match !== undefined && (careless === 'checks-before' || (careless === 'checks-before-sometimes' && key.endsWith('race-5')));
    const isCreated = none !== undefined && careless === 'creates-before';
    if (!isIgnored && !isChecked && !isCreated) return false;
    const body = await bodyOf(incoming);
    if (isCreated) {
      const isThere = await client.statObject(bucket, key).then(
        () => true,
        () => false,
      );
      if (isThere) return (refuse(412, 'PreconditionFailed'), true);
      await delay(100);
    }
    if (isChecked) {
      const { etag } = await client.statObject(bucket, key);
      if (`"${etag}"` !== match) return (refuse(412, 'PreconditionFailed'), true);
      await delay(100);
    }
    await write(bucket, key, body, outgoing);
    return true;
  }

  /** Whether it answered a list itself. */
  async function isOwnList(outgoing: ServerResponse, bucketName: string, asked: URLSearchParams): Promise<boolean> {
    if (asked.get('list-type') !== '2') return false;
    if (!['dictionary-order', 'backwards', 'no-start-after', 'no-pages'].includes(careless)) return false;
    if (careless === 'no-start-after') asked.delete('start-after');
    if (careless === 'no-pages') asked.delete('continuation-token');
    const answer = await client.makeRequestAsync({ method: 'GET', bucketName, query: asked.toString() });
    const xml = (await bodyOf(answer)).toString();
    const entries = xml.match(/<Contents>.*?<\/Contents>/gs) ?? [];
    const keyOf = (entry: string) => /<Key>(.*?)<\/Key>/.exec(entry)?.[1] ?? '';
    const sorted = [...entries].sort((a, b) => keyOf(a).localeCompare(keyOf(b), 'en', { numeric: true }));
    const wanted = careless === 'backwards' ? [...entries].reverse() : careless === 'dictionary-order' ? sorted : entries;
    outgoing.writeHead(200, { 'content-type': 'application/xml' });
    outgoing.end(xml.replace(/<Contents>.*<\/Contents>/s, wanted.join('')));
    return true;
  }

  async function serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(incoming.url ?? '', endpoint);
    const [, bucket = '', ...rest] = pathname.split('/').map(decodeURIComponent);
    const key = rest.join('/');
    if (incoming.method === 'PUT' && (await isOwnWrite(incoming, outgoing, bucket, key))) return;
    if (incoming.method === 'GET' && key === '' && (await isOwnList(outgoing, bucket, searchParams))) return;
    if (incoming.method === 'GET' && key.startsWith('probe/') && careless === 'stale-reads')
      return void outgoing.writeHead(404).end('<Error><Code>NoSuchKey</Code></Error>');
    const { method, url: path, headers } = incoming;
    const forwarded = http.request({ hostname, port, method, path, headers }, (response) => {
      outgoing.writeHead(response.statusCode ?? 0, response.headers);
      response.pipe(outgoing);
    });
    forwarded.on('error', () => outgoing.destroy());
    incoming.pipe(forwarded);
  }

  const server = http.createServer((incoming, outgoing) => void serve(incoming, outgoing).catch(() => outgoing.destroy()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function bodyOf(incoming: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  return Buffer.concat(chunks);
}
