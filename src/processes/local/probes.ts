import { connect } from 'node:net';
import type { Config } from '../../config/config.ts';
import { openStore } from '../open-store.ts';
import { reachedHost } from './local-url.ts';
import { findStoreFault } from '../../storage/store-fault.ts';
import { createRandomHex } from '../random-hex.ts';
import { connectTemporal } from '../../temporal/connection.ts';

const PATIENCE_MS = 3_000;

/** Whether something accepts connections there. */
export async function isTaken(host: string, port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host: reachedHost(host), port, timeout: PATIENCE_MS });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
  });
}

/** Whether a Temporal server answers there. */
export async function isTemporal(temporal: Parameters<typeof connectTemporal>[0]): Promise<boolean> {
  const { connection } = connectTemporal(temporal);
  try {
    await connection.withDeadline(Date.now() + PATIENCE_MS, async () => await connection.workflowService.getSystemInfo({}));
    return true;
  } catch {
    return false;
  } finally {
    await connection.close().catch(() => undefined);
  }
}

/** Whether an S3 store answers there: whoever may not list buckets is told so with a request id. */
export async function isS3(endpoint: string): Promise<boolean> {
  const answer = await get(endpoint);
  return answer !== null && (answer.headers.has('x-amz-request-id') || answer.headers.get('server')?.startsWith('MinIO') === true);
}

/** Why our store cannot be used; null when it can. Its bucket or folder is made if it is missing. */
export async function storeFault(config: Config): Promise<string | null> {
  const store = openStore(config, { answerMs: PATIENCE_MS });
  try {
    await store.ensureBucket();
    const fault = await findStoreFault(store, createRandomHex()(24));
    return fault === null ? null : `it ${fault}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    store.close();
  }
}

/** Whether a URL answers with success. */
export async function answersOk(url: string): Promise<boolean> {
  return (await get(url))?.ok ?? false;
}

async function get(url: string): Promise<Response | null> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS), redirect: 'manual' });
    await answer.arrayBuffer();
    return answer;
  } catch {
    return null;
  }
}
