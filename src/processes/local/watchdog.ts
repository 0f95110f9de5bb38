import { createInterface } from 'node:readline';
import { endInOrder, type Ending } from './end-process.ts';

/**
 * A process of its own beside `nightshift local`: each line of its input is the list of processes to end, in order, should
 * the input end. So nothing is left over even when `nightshift local` is killed and cannot clean up.
 */
let endings: Ending[] = [];
for await (const line of createInterface({ input: process.stdin })) endings = JSON.parse(line);
await endInOrder(endings);
