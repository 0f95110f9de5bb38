import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import type OpenAI from 'openai';

/** Which of the lines were answered. A second answer to one throws. */
export interface SeenLines {
  readonly count: number;
  /** Reads an output file to its end, line by line. */
  read(client: OpenAI, fileId: string): Promise<void>;
}

/** Looks for each of the custom_ids `line-0` to `line-<lines - 1>` once. */
export function seenLines(lines: number): SeenLines {
  const seen = new Uint8Array(lines);
  let count = 0;
  return {
    get count() {
      return count;
    },
    async read(client, fileId) {
      const { body } = await client.files.content(fileId);
      if (body === null) throw new Error(`${fileId} has no content`);
      for await (const line of createInterface({ input: Readable.fromWeb(body) })) {
        const { custom_id: customId, response } = Object(JSON.parse(line));
        const index = Number(/^line-(\d+)$/.exec(customId)?.[1]);
        if (seen[index] !== 0) throw new Error(`${customId} came twice, or was never asked`);
        if (response?.status_code !== 200) throw new Error(`${customId} was answered with ${response?.status_code}`);
        seen[index] = 1;
        count += 1;
      }
    },
  };
}
