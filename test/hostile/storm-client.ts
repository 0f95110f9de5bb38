import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';

/** What the storm is told; it runs in a thread of its own, so that its work delays no measurement. */
export interface StormOrders {
  port: number;
  seed: number;
  seconds: number;
  /** Connections that are held open at a time. */
  connections: number;
  perSecond: number;
  /** A file of the hostile tenant, large enough to fill every buffer on the way. */
  fileId: string;
}

const { port, seed, seconds, connections, perSecond, fileId }: StormOrders = workerData;
const HOLD_MS = 20_000;

/** mulberry32: the same storm for the same seed. */
function createRandom(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const random = createRandom(seed);
const below = (end: number) => Math.floor(random() * end);
const request = (line: string, ...headers: string[]) =>
  [`${line} HTTP/1.1`, 'host: 127.0.0.1', 'authorization: Bearer key-a', ...headers, '', ''].join('\r\n');
const bytes = (length: number) => Buffer.from(Array.from({ length }, () => below(256)));

/** Each is what one connection sends; none reads what it is answered. */
const ATTACKS: readonly (() => Buffer | string)[] = [
  () => bytes(1 + below(4000)),
  () =>
    `GET ${bytes(1 + below(200))
      .toString('latin1')
      .replace(/[\r\n]/g, '')} HTTP/1.1\r\nhost: x\r\n\r\n`,
  () => request(`GET /v1/files/${fileId}/content`),
  () => request(`GET /v1/files/${fileId}/content`),
  () => request('GET /v1/files').repeat(1 + below(400)),
  () => request('GET /v1/files?order=asc&purpose=nothing'),
  () => request('GET /v1/batches?limit=100').repeat(1 + below(20)),
  () => request('POST /v1/batches', 'content-length: 1000000') + '{"metadata":{"a":"',
  () =>
    request('POST /v1/files', 'content-type: multipart/form-data; boundary=b', 'transfer-encoding: chunked') +
    '40\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n',
  () => request('POST /v1/batches', 'content-length: 1000000') + `{"metadata":{"a":"${'x'.repeat(below(900_000))}`,
  () =>
    request('POST /v1/files', 'content-type: multipart/form-data; boundary=b', 'content-length: 500000000') +
    `--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n{"a":"${'x'.repeat(below(60_000))}`,
  () => request('POST /v1/uploads', 'transfer-encoding: chunked') + 'zz\r\n',
  () => request(`GET /v1/files/${bytes(20).toString('hex')}`, `x-long: ${'v'.repeat(below(20_000))}`),
  () => 'GET /v1/files HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ',
  () => '',
];

const open: Socket[] = [];

function attack(): void {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  socket.pause();
  const attackNow = ATTACKS[below(ATTACKS.length)];
  const sent = attackNow?.() ?? '';
  socket.once('connect', () => {
    // In two halves, so that requests end in the middle for a while.
    const cut = below(sent.length + 1);
    if (typeof sent === 'string') {
      socket.write(sent.slice(0, cut), 'latin1');
      setTimeout(() => socket.destroyed || socket.write(sent.slice(cut), 'latin1'), below(500)).unref();
    } else socket.write(sent);
  });
  // Some trickle.
  const trickle = random() < 0.1 ? setInterval(() => socket.destroyed || socket.write('x'), 1000).unref() : undefined;
  socket.once('close', () => clearInterval(trickle));
  setTimeout(() => socket.destroy(), HOLD_MS * (0.2 + random())).unref();
  open.push(socket);
  if (open.length > connections) open.shift()?.destroy();
}

const endMs = performance.now() + seconds * 1000;
while (performance.now() < endMs) {
  for (let i = 0; i < perSecond / 10; i += 1) attack();
  await delay(100);
}
for (const socket of open) socket.destroy();
