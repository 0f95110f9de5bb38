import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readPrices } from '../../src/config/prices-file.ts';

async function read(text: string) {
  const folder = await mkdtemp(join(tmpdir(), 'nightshift-prices-'));
  try {
    const path = join(folder, 'prices.yaml');
    await writeFile(path, text);
    const faults: string[] = [];
    return { prices: readPrices(path, faults), faults };
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe('NIGHTSHIFT_PRICES_FILE', () => {
  it('is YAML or JSON with a currency and prices by model', async () => {
    const models = { 'gpt-4o-mini': { input: 0.15, output: 0.6 }, 'text-*': { input: 0.02, output: 0 } };
    const yaml = 'currency: EUR\nmodels:\n  gpt-4o-mini: { input: 0.15, output: 0.60 }\n  "text-*": { input: 0.02 }\n';
    assert.deepEqual(await read(yaml), { prices: { currency: 'EUR', models }, faults: [] });
    assert.deepEqual(await read(JSON.stringify({ currency: 'USD', models })), { prices: { currency: 'USD', models }, faults: [] });
    assert.equal(readPrices(undefined, []), null);
  });

  it('names what is wrong and where', async () => {
    const cases: [string, RegExp][] = [
      ['[1]', /the file: must have currency and models/],
      ['currency: euro\nmodels: {}', /currency: must be a code of three letters, like USD/],
      ['currency: EUR\nmodels: { a: { input: -1 } }', /models\.a\.input: must be a price per million tokens, 0 or more/],
      ['currency: EUR\nmodels: { a: { input: free } }', /models\.a\.input: must be a price/],
      ['currency: EUR\nmodels: { a: { input: 1, price: 2 } }', /models\.a: .*price/],
      ['a: [', /the file is not YAML or JSON/],
    ];
    for (const [text, message] of cases) {
      const { prices, faults } = await read(text);
      assert.equal(prices, null, text);
      assert.match(faults.join('\n'), message);
    }
    const faults: string[] = [];
    assert.equal(readPrices('/no/such/file', faults), null);
    assert.match(faults.join(), /NIGHTSHIFT_PRICES_FILE: the file "\/no\/such\/file" cannot be read/);
  });
});
