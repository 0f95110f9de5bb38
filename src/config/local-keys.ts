import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

/** Access to the object store. */
export interface S3Keys {
  accessKey: string;
  secretKey: string;
}

const keysSchema = z.object({ accessKey: z.string(), secretKey: z.string() });

/** The keys that `nightshift local` made in this data folder; null when it never ran here. */
export function readLocalKeys(dataDir: string): S3Keys | null {
  try {
    return keysSchema.parse(JSON.parse(readFileSync(keysFile(dataDir), 'utf8')));
  } catch {
    return null;
  }
}

/** The keys of the data folder, made once: MinIO's data, and in any store the secrets of webhooks, would be lost with them. */
export function ensureLocalKeys(dataDir: string): S3Keys {
  const found = readLocalKeys(dataDir);
  if (found !== null) return found;
  mkdirSync(dataDir, { recursive: true });
  const made = { accessKey: 'nightshift', secretKey: randomBytes(20).toString('hex') };
  writeFileSync(keysFile(dataDir), JSON.stringify(made), { mode: 0o600 });
  return made;
}

/** Where they are kept. */
export function keysFile(dataDir: string): string {
  return join(dataDir, 'keys.json');
}
