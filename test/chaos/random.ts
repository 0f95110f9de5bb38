import { numbers } from '../../examples/upstream/behaviour.ts';

/** Choices that follow from a seed. */
export interface Random {
  /** A whole number, both ends included. */
  between(least: number, most: number): number;
  chance(share: number): boolean;
  weighted<T>(choices: readonly (readonly [choice: T, weight: number])[]): T;
  /** Another sequence of its own, so that what runs at a time does not mix up each other's choices. */
  fork(): Random;
}

export function createRandom(seed: number): Random {
  const next = numbers(seed);
  const random: Random = {
    between: (least, most) => least + Math.floor(next() * (most - least + 1)),
    chance: (share) => next() < share,
    weighted(choices) {
      let lot = next() * choices.reduce((sum, [, weight]) => sum + weight, 0);
      for (const [choice, weight] of choices) {
        lot -= weight;
        if (lot < 0) return choice;
      }
      throw new Error('nothing to choose from');
    },
    fork: () => createRandom(Math.floor(next() * 2 ** 31)),
  };
  return random;
}
