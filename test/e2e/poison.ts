import { request as httpRequest, createServer } from 'node:http';
import { once } from 'node:events';
import { chatLine } from '../helpers/lines.ts';
import { type Stack, startStack } from '../helpers/stack.ts';

/** The line whose request kills the worker that sends it, and how many there are besides. */
export const POISON = 'poison-7';
export const LINES = 20;

/** A stack whose worker dies of one request, and is started again each time, as a supervisor would. */
export interface PoisonedStack extends AsyncDisposable {
  readonly stack: Stack;
  /** The custom_ids of the batch, the poisonous one among them. */
  readonly ids: string[];
  /** Its input file. */
  readonly text: string;
  /** Times that the worker died. */
  readonly deaths: number;
}

/** `deadly` is how often the request kills before it is answered like any other. Slices are of ten lines. */
export async function startPoisonedStack({ deadly }: { deadly: number }): Promise<PoisonedStack> {
  let stack: Stack | null = null;
  let deaths = 0;
  // Stands before the example upstream, which cannot know whose request it is.
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const body = Buffer.concat(chunks);
      if (stack === null) return void outgoing.destroy();
      if (deaths < deadly && body.includes(POISON)) {
        deaths += 1;
        const { worker, startWorker } = stack;
        void worker.stop('SIGKILL').then(async () => await startWorker());
        return;
      }
      const { method, url: path, headers } = incoming;
      const onward = httpRequest(stack.upstream.url + path, { method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        answer.pipe(outgoing);
      });
      onward.on('error', () => outgoing.destroy());
      onward.end(body);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  stack = await startStack({
    env: { NIGHTSHIFT_UPSTREAM_URL: `http://127.0.0.1:${address.port}/v1`, NIGHTSHIFT_LINES_PER_ACTIVITY: '10' },
  });
  const ids = Array.from({ length: LINES }, (_, index) => (index === 6 ? POISON : `line-${index + 1}`));
  return {
    stack,
    ids,
    text: ids.map((id) => chatLine(id, `marker=${id}`)).join('\n'),
    get deaths() {
      return deaths;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await stack?.[Symbol.asyncDispose]();
    },
  };
}
