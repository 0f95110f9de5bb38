import { once } from 'node:events';
import { createServer } from 'node:http';

/** What the tests want to know of a span. */
export interface SeenSpan {
  traceId: string;
  spanId: string;
  /** Empty at the root. */
  parentId: string;
  name: string;
  service: string;
  attributes: Record<string, string | number>;
}

/** An OpenTelemetry collector that takes OTLP as protobuf over HTTP, as real ones do, and keeps all spans. */
export interface Collector extends AsyncDisposable {
  readonly endpoint: string;
  readonly spans: SeenSpan[];
}

/** Listens on a free port. */
export async function startCollector(): Promise<Collector> {
  const spans: SeenSpan[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (request.url === '/v1/traces') spans.push(...spansOf(Buffer.concat(chunks)));
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    spans,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** The fields of a protobuf message by number; nested messages, strings and bytes as buffers, numbers as bigints. */
function fieldsOf(message: Buffer): Map<number, (Buffer | bigint)[]> {
  const fields = new Map<number, (Buffer | bigint)[]>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++] ?? 0;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = Number(varint());
    let value: Buffer | bigint;
    if (tag % 8 === 0) value = varint();
    else {
      const length = tag % 8 === 1 ? 8 : tag % 8 === 5 ? 4 : Number(varint());
      value = message.subarray(at, at + length);
      at += length;
    }
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), value]);
  }
  return fields;
}

function messages(message: Buffer, field: number): Buffer[] {
  return (fieldsOf(message).get(field) ?? []).filter((value) => Buffer.isBuffer(value));
}

function bytes(message: Buffer, field: number): Buffer {
  return messages(message, field)[0] ?? Buffer.alloc(0);
}

/** Numbers of fields: opentelemetry/proto/trace/v1/trace.proto. */
function spansOf(request: Buffer): SeenSpan[] {
  return messages(request, 1).flatMap((resourceSpans) => {
    const service = String(attributesOf(messages(bytes(resourceSpans, 1), 1))['service.name']);
    return messages(resourceSpans, 2)
      .flatMap((scopeSpans) => messages(scopeSpans, 2))
      .map((span) => ({
        traceId: bytes(span, 1).toString('hex'),
        spanId: bytes(span, 2).toString('hex'),
        parentId: bytes(span, 4).toString('hex'),
        name: bytes(span, 5).toString(),
        service,
        attributes: attributesOf(messages(span, 9)),
      }));
  });
}

function attributesOf(pairs: readonly Buffer[]): Record<string, string | number> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const value = fieldsOf(bytes(pair, 2));
      const [text] = value.get(1) ?? [];
      const [whole] = value.get(3) ?? [];
      return [bytes(pair, 1).toString(), Buffer.isBuffer(text) ? text.toString() : Number(whole ?? Number.NaN)];
    }),
  );
}
