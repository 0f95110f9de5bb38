import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { firstLine } from './config-error.ts';
import { PREFIX } from './settings.ts';
import { cannotRead } from './secret-files.ts';
import type { Prices } from '../domain/prices.ts';

const NAME = `${PREFIX}PRICES_FILE`;
const AMOUNT = 'must be a price per million tokens, 0 or more';
const amount = z.number(AMOUNT).min(0, AMOUNT).max(1_000_000_000, AMOUNT);
const CURRENCY = 'must be a code of three letters, like USD';

const fileSchema = z.strictObject(
  {
    currency: z.string(CURRENCY).regex(/^[A-Z]{3}$/, CURRENCY),
    models: z.record(z.string().min(1), z.strictObject({ input: amount, output: amount.default(0) })),
  },
  'must have currency and models',
);

/** Reads a file of prices (YAML, or JSON, which is YAML too); null without one. Adds a fault for each thing that is wrong with it. */
export function readPrices(path: string | undefined, faults: string[]): Prices | null {
  if (path === undefined) return null;
  const file = resolve(path);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    faults.push(`${NAME}: ${cannotRead(file, error)}`);
    return null;
  }
  let content: unknown;
  try {
    content = parse(text);
  } catch (error) {
    faults.push(`${NAME}: the file is not YAML or JSON: ${firstLine(error)}`);
    return null;
  }
  const parsed = fileSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  faults.push(...parsed.error.issues.map(({ path: place, message }) => `${NAME}: ${place.join('.') || 'the file'}: ${message}`));
  return null;
}
