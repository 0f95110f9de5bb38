import { Pool } from 'undici';
import { type InputShape, requestBody } from './input-file.ts';

/** Seconds for the requests with `width` in flight and nothing around them: what this machine can do. */
export async function bareLoop(url: string, shape: InputShape, width: number): Promise<number> {
  const pool = new Pool(url, { connections: width });
  let next = 0;
  const begin = performance.now();
  const lane = async () => {
    while (next < shape.lines) {
      const index = next++;
      const answer = await pool.request({
        path: '/v1/chat/completions',
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(requestBody(shape, index)),
      });
      await answer.body.arrayBuffer();
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
  await pool.close();
  return (performance.now() - begin) / 1000;
}
