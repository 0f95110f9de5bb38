import { count } from './progress-line.ts';

/** Things that say the same, and where. */
export interface EqualTexts {
  text: string;
  size: number;
  places: string[];
}

const PLACES_SHOWN = 5;

/** Collects what says the same. Keeps a few places of each group, so that memory stays small. */
export function createGroups(): { add(text: string, place: string | null): void; all(): EqualTexts[] } {
  const groups = new Map<string, EqualTexts>();
  return {
    add(text, place) {
      const group = groups.get(text) ?? { text, size: 0, places: [] };
      groups.set(text, group);
      group.size += 1;
      if (place !== null && group.places.length < PLACES_SHOWN) group.places.push(place);
    },
    all: () => [...groups.values()].toSorted((a, b) => b.size - a.size),
  };
}

/** `99 lines: 9, 34, 59, …`; nothing but the place for a group of one. */
export function describePlaces({ size, places }: EqualTexts, noun: string): string {
  if (places.length === 0) return size === 1 ? '' : `${count(size)} times`;
  if (size === 1) return `${noun} ${places[0] ?? ''}`;
  return `${count(size)} ${noun}s: ${places.join(', ')}${size > places.length ? ', …' : ''}`;
}
