import { createNameTable } from './name-table.ts';

/** What the operator charges. Prices are per million tokens; names of models may be patterns. */
export interface Prices {
  currency: string;
  models: Readonly<Record<string, Price>>;
}

export interface Price {
  input: number;
  output: number;
}

export interface PriceTable {
  currency: string;
  /** By what clients call a model, else by what its upstream calls it; null where the operator names neither. */
  find(model: string | null, upstreamModel: string | null): Price | null;
}

export function createPriceTable({ currency, models }: Prices): PriceTable {
  const find = createNameTable(Object.entries(models));
  return { currency, find: (model, upstreamModel) => find(model ?? '') ?? find(upstreamModel ?? '') };
}
