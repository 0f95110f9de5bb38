import { closestName } from './closest-name.ts';

/** Hours of the week in which an upstream may be used. Times are Unix milliseconds. */
export interface Hours {
  isActive(unixMs: number): boolean;
  /** When `isActive` changes next; null when it never does. */
  nextChangeMs(unixMs: number): number | null;
  /** That moment for people, in the zone of the hours that begin or end then: `19:00 Europe/Berlin`, with the day if it is a day away. */
  describeChange(unixMs: number): string | null;
}

/** A number for hours of the week. */
export interface HourlyLimits {
  /** The least of the numbers that apply; null when none does. */
  limitAt(unixMs: number): number | null;
  /** When a number begins or ends to apply next; null when none ever does. */
  nextChangeMs(unixMs: number): number | null;
}

/** One stretch of the day in a zone. Minutes are those of the wall clock; an end before the start is on the day after. */
interface Window {
  /** Days on which it begins, Sunday is 0. */
  days: ReadonlySet<number>;
  startMinute: number;
  endMinute: number;
  zone: string;
  clock: WallClock;
}

/** Milliseconds that the wall clock of a zone is ahead of UTC. */
type WallClock = (unixMs: number) => number;

const DAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];
const [MINUTE_MS, HOUR_MS, DAY_MS] = [60_000, 3_600_000, 86_400_000];
/** All zones change their offset at quarters of an hour. */
const QUARTER_MS = HOUR_MS / 4;
/** A week, and what a change of the offset may add. */
const LOOK_AHEAD_MS = 8 * DAY_MS;
const SHAPE = /^(?:([a-z][a-z,\s-]*)\s+)?(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})(?:\s+(\S+))?$/i;
const EXAMPLE = '"mon-fri 19:00-07:00 Europe/Berlin"';

/** Hours as configured, such as `19:00-07:00 Europe/Berlin` or `mon-fri 08:00-18:00`; without a zone they are UTC. Throws an Error that says what is wrong. */
export function parseHours(texts: readonly string[]): Hours {
  const windows = texts.map(parseWindow);
  const isActive = (unixMs: number) => windows.some((window) => isWithin(window, unixMs));
  const nextChangeMs = (unixMs: number) => nextChange(windows, isActive, unixMs);
  return {
    isActive,
    nextChangeMs,
    describeChange(unixMs) {
      const changeMs = nextChangeMs(unixMs);
      if (changeMs === null) return null;
      const window = windows.find((each) => isWithin(each, changeMs) !== isWithin(each, changeMs - 1));
      return window === undefined ? null : describeTime(window, changeMs, changeMs - unixMs >= DAY_MS);
    },
  };
}

/** Numbers by hours as configured. Throws an Error that says what is wrong. */
export function parseHourlyLimits(limits: Readonly<Record<string, number>>): HourlyLimits {
  const entries = Object.entries(limits).map(([text, limit]) => ({ window: parseWindow(text), limit }));
  const limitAt = (unixMs: number) =>
    entries.reduce<number | null>((least, { window, limit }) => (isWithin(window, unixMs) ? Math.min(least ?? limit, limit) : least), null);
  const windows = entries.map(({ window }) => window);
  return { limitAt, nextChangeMs: (unixMs) => nextChange(windows, limitAt, unixMs) };
}

/** What is wrong with hours, as the rest of a sentence; null when nothing is. */
export function hoursFault(text: string): string | null {
  try {
    parseWindow(text);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function parseWindow(text: string): Window {
  const [, days = null, fromHour, fromMinute, toHour, toMinute, zone = 'UTC'] = SHAPE.exec(text.trim()) ?? [];
  if (toMinute === undefined) throw new Error(`must be hours like ${EXAMPLE}, with or without days and zone`);
  const startMinute = minuteOf(fromHour, fromMinute);
  const endMinute = minuteOf(toHour, toMinute);
  if (startMinute === endMinute) throw new Error('must not begin and end at the same time: write 00:00-24:00 for the whole day');
  return { days: parseDays(days), startMinute, endMinute, zone, clock: createClock(zone) };
}

function minuteOf(hour: string | undefined, minute: string | undefined): number {
  const minutes = Number(hour) * 60 + Number(minute);
  if (Number(minute) > 59 || minutes > 24 * 60) throw new Error(`has the time ${hour}:${minute}: times go from 00:00 to 24:00`);
  return minutes;
}

function parseDays(text: string | null): ReadonlySet<number> {
  const days = new Set<number>();
  if (text === null) return new Set(DAYS.keys());
  for (const part of text.split(',')) {
    const [first = '', last = first, ...more] = part.split('-').map((day) => day.trim().toLowerCase());
    const [from, to] = [first, last].map((day) => (day.length < 3 ? -1 : DAYS.findIndex((name) => name.startsWith(day))));
    if (from === undefined || to === undefined || from === -1 || to === -1 || more.length > 0)
      throw new Error(`has the days "${part.trim()}": days are like mon, mon-fri or mon,wed`);
    for (let day = from; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === to) break;
    }
  }
  return days;
}

function createClock(zone: string): WallClock {
  const format = createFormat(zone);
  let known = { quarter: -1, offsetMs: 0 };
  return (unixMs) => {
    const quarter = Math.floor(unixMs / QUARTER_MS);
    if (known.quarter !== quarter) known = { quarter, offsetMs: offsetOf(format, quarter * QUARTER_MS) };
    return known.offsetMs;
  };
}

function createFormat(zone: string): Intl.DateTimeFormat {
  try {
    const numeric = 'numeric';
    return new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      calendar: 'gregory',
      hourCycle: 'h23',
      year: numeric,
      month: numeric,
      day: numeric,
      hour: numeric,
      minute: numeric,
    });
  } catch {
    const meant = closestName(zone, Intl.supportedValuesOf('timeZone'));
    throw new Error(`has the unknown time zone "${zone}"${meant === null ? ': zones are like Europe/Berlin' : `: did you mean ${meant}?`}`);
  }
}

/** `unixMs` is a whole minute. */
function offsetOf(format: Intl.DateTimeFormat, unixMs: number): number {
  const parts = new Map(format.formatToParts(unixMs).map(({ type, value }) => [type, Number(value)]));
  const [year, month, day, hour, minute] = (['year', 'month', 'day', 'hour', 'minute'] as const).map((type) => parts.get(type) ?? 0);
  return Date.UTC(year ?? 0, (month ?? 1) - 1, day, hour, minute) - unixMs;
}

function isWithin({ days, startMinute, endMinute, clock }: Window, unixMs: number): boolean {
  const localMs = unixMs + clock(unixMs);
  const minute = (localMs % DAY_MS) / MINUTE_MS;
  // The first day of Unix time was a Thursday.
  const day = (Math.floor(localMs / DAY_MS) + 4) % 7;
  if (startMinute < endMinute) return days.has(day) && minute >= startMinute && minute < endMinute;
  return (days.has(day) && minute >= startMinute) || (days.has((day + 6) % 7) && minute < endMinute);
}

/** The first moment after `unixMs` at which `valueAt` differs from its value now; null when there is none. */
function nextChange(windows: readonly Window[], valueAt: (unixMs: number) => unknown, unixMs: number): number | null {
  const value = valueAt(unixMs);
  for (let hourMs = unixMs - (unixMs % HOUR_MS); hourMs < unixMs + LOOK_AHEAD_MS; hourMs += HOUR_MS) {
    const moments = new Set(windows.flatMap((window) => boundariesIn(hourMs, window)));
    for (const moment of [...moments].sort((a, b) => a - b)) if (moment > unixMs && valueAt(moment) !== value) return moment;
  }
  return null;
}

/** Where a window may begin or end within an hour: by the clock of its zone, and where that clock is set. */
function boundariesIn(hourMs: number, { startMinute, endMinute, clock }: Window): number[] {
  const moments: number[] = [];
  for (let quarterMs = hourMs; quarterMs < hourMs + HOUR_MS; quarterMs += QUARTER_MS) {
    const offsetMs = clock(quarterMs);
    if (offsetMs !== clock(quarterMs - 1)) moments.push(quarterMs);
    const minute = ((quarterMs + offsetMs) % DAY_MS) / MINUTE_MS;
    for (const boundary of [startMinute, endMinute, 0]) {
      const ahead = (boundary + 24 * 60 - minute) % (24 * 60);
      if (ahead < QUARTER_MS / MINUTE_MS) moments.push(quarterMs + ahead * MINUTE_MS);
    }
  }
  return moments;
}

function describeTime({ zone, clock }: Window, unixMs: number, withDay: boolean): string {
  const localMs = unixMs + clock(unixMs);
  const time = new Date(localMs).toISOString().slice(11, 16);
  const day = DAYS[(Math.floor(localMs / DAY_MS) + 4) % 7] ?? '';
  return `${withDay ? `${day.charAt(0).toUpperCase()}${day.slice(1)} ` : ''}${time} ${zone}`;
}
