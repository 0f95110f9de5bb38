import { parseHourlyLimits, parseHours } from '../../domain/hours.ts';

/** The hours of an upstream. */
export interface Schedule {
  /** When requests may go out again, in Unix milliseconds and in words; null while they may. */
  closed(): { untilMs: number; inWords: string } | null;
  /** Most requests in flight at each server now; null when the hours set no limit. */
  limit(): number | null;
}

/** A far end for hours that never change. */
const NEVER_MS = 8.64e15;

/** Asked for each request, so what holds until the next change is kept until then. Throws for hours that cannot be read. */
export function createSchedule(
  { active, maxInFlightByHour }: { active: readonly string[] | null; maxInFlightByHour: Readonly<Record<string, number>> },
  nowMs: () => number,
): Schedule {
  const hours = active === null ? null : parseHours(active);
  const limits = Object.keys(maxInFlightByHour).length === 0 ? null : parseHourlyLimits(maxInFlightByHour);
  let known: { closed: ReturnType<Schedule['closed']>; limit: number | null; fromMs: number; untilMs: number } | null = null;

  function look(): { closed: ReturnType<Schedule['closed']>; limit: number | null } {
    const now = nowMs();
    // A clock that was set back may have crossed a change too.
    if (known !== null && now >= known.fromMs && now < known.untilMs) return known;
    const changeMs = hours?.nextChangeMs(now) ?? NEVER_MS;
    const isClosed = hours !== null && !hours.isActive(now);
    const closed = isClosed ? { untilMs: changeMs, inWords: hours.describeChange(now) ?? 'never' } : null;
    known = {
      closed,
      limit: limits?.limitAt(now) ?? null,
      fromMs: now,
      untilMs: Math.min(changeMs, limits?.nextChangeMs(now) ?? NEVER_MS),
    };
    return known;
  }

  return {
    closed: () => (hours === null ? null : look().closed),
    limit: () => (limits === null ? null : look().limit),
  };
}
