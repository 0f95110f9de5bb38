import { isDeepStrictEqual } from 'node:util';
import type OpenAI from 'openai';

/** Tokens, as a batch tells them. */
export type Usage = NonNullable<OpenAI.Batch['usage']>;

/** What the body of an answer may say of tokens, by the names of either family of endpoints. */
export interface ReportedUsage {
  prompt_tokens?: number;
  completion_tokens?: number;
  input_tokens?: number;
  output_tokens?: number;
  total_tokens?: number;
  prompt_tokens_details?: { cached_tokens?: number };
  completion_tokens_details?: { reasoning_tokens?: number };
  input_tokens_details?: { cached_tokens?: number };
  output_tokens_details?: { reasoning_tokens?: number };
}

const NO_USAGE: Usage = {
  input_tokens: 0,
  input_tokens_details: { cached_tokens: 0 },
  output_tokens: 0,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 0,
};

/** What the body of an answer says, by the names of a batch. */
export function usageOf(reported: ReportedUsage = {}): Usage {
  const { prompt_tokens_details: prompt, completion_tokens_details: completion } = reported;
  const { input_tokens_details: input, output_tokens_details: output } = reported;
  return {
    input_tokens: reported.prompt_tokens ?? reported.input_tokens ?? 0,
    input_tokens_details: { cached_tokens: (prompt ?? input)?.cached_tokens ?? 0 },
    output_tokens: reported.completion_tokens ?? reported.output_tokens ?? 0,
    output_tokens_details: { reasoning_tokens: (completion ?? output)?.reasoning_tokens ?? 0 },
    total_tokens: reported.total_tokens ?? 0,
  };
}

/** Member by member. */
export function sumOf(usages: readonly Usage[]): Usage {
  return usages.reduce(
    (a, b) => ({
      input_tokens: a.input_tokens + b.input_tokens,
      input_tokens_details: { cached_tokens: a.input_tokens_details.cached_tokens + b.input_tokens_details.cached_tokens },
      output_tokens: a.output_tokens + b.output_tokens,
      output_tokens_details: { reasoning_tokens: a.output_tokens_details.reasoning_tokens + b.output_tokens_details.reasoning_tokens },
      total_tokens: a.total_tokens + b.total_tokens,
    }),
    NO_USAGE,
  );
}

/** Whether all members are the same; a batch that says nothing has used nothing. */
export function isSameUsage(given: Usage | null | undefined, expected: Usage): boolean {
  return isDeepStrictEqual(given ?? NO_USAGE, expected);
}
