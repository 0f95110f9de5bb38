import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { hoursFault, parseHourlyLimits, parseHours } from '../../src/domain/hours.ts';

const ms = (text: string) => Date.parse(text);
const iso = (unixMs: number | null) => (unixMs === null ? null : new Date(unixMs).toISOString().replace(':00.000Z', 'Z'));

/** The changes of hours from a moment on, as text. */
function changes(texts: string | string[], from: string, count: number): (string | null)[] {
  const hours = parseHours([texts].flat());
  const found: (string | null)[] = [];
  let at: number | null = ms(from);
  for (let times = 0; times < count && at !== null; times++) {
    at = hours.nextChangeMs(at);
    found.push(at === null ? null : `${hours.isActive(at) ? 'on' : 'off'} ${iso(at)}`);
  }
  return found;
}

describe('parseHours(texts)', () => {
  it('is active from the start to before the end, by the clock of the zone', () => {
    const hours = parseHours(['08:00-18:00 Europe/Berlin']);
    // Berlin is two hours ahead in summer and one in winter.
    for (const [from, to] of [
      ['2026-07-01T06:00Z', '2026-07-01T16:00Z'],
      ['2026-12-01T07:00Z', '2026-12-01T17:00Z'],
    ] as const) {
      assert.deepEqual([ms(from) - 1, ms(from), ms(to) - 1, ms(to)].map(hours.isActive), [false, true, true, false]);
      assert.deepEqual([hours.nextChangeMs(ms(from) - 1), hours.nextChangeMs(ms(from))].map(iso), [from, to]);
    }
  });

  it('goes over midnight, and its days are those on which it begins', () => {
    assert.deepEqual(changes('19:00-07:00 Europe/Berlin', '2026-11-27T12:00Z', 3), [
      'on 2026-11-27T18:00Z',
      'off 2026-11-28T06:00Z',
      'on 2026-11-28T18:00Z',
    ]);
    // The 27th of November 2026 is a Friday.
    assert.deepEqual(changes('mon-fri 19:00-07:00', '2026-11-27T12:00Z', 3), [
      'on 2026-11-27T19:00Z',
      'off 2026-11-28T07:00Z',
      'on 2026-11-30T19:00Z',
    ]);
  });

  it('takes days as single ones, as ranges and as lists', () => {
    const days = (text: string) => {
      const hours = parseHours([`${text} 10:00-11:00`]);
      return Array.from({ length: 7 }, (_, at) => at).filter((at) => hours.isActive(ms('2026-11-29T10:30Z') + at * 86_400_000));
    };
    // The first day is a Sunday.
    assert.deepEqual(days('sat'), [6]);
    assert.deepEqual(days('Mon-Fri'), [1, 2, 3, 4, 5]);
    assert.deepEqual(days('fri-mon'), [0, 1, 5, 6]);
    assert.deepEqual(days('mon, wed,saturday'), [1, 3, 6]);
  });

  it('joins several hours', () => {
    assert.deepEqual(changes(['22:00-24:00', '00:00-06:00', 'sat,sun 00:00-24:00'], '2026-11-27T12:00Z', 3), [
      'on 2026-11-27T22:00Z',
      'off 2026-11-30T06:00Z',
      'on 2026-11-30T22:00Z',
    ]);
  });

  it('never changes where it covers the week', () => {
    for (const texts of [['00:00-24:00'], ['00:00-12:00', '12:00-00:00']])
      assert.equal(parseHours(texts).nextChangeMs(ms('2026-01-01')), null);
    assert.equal(parseHours([]).nextChangeMs(0), null);
  });

  it('keeps to the wall clock when it is set forward', () => {
    // In Berlin 02:00 became 03:00 on the 29th of March 2026, at 01:00 UTC.
    assert.deepEqual(changes('19:00-07:00 Europe/Berlin', '2026-03-28T12:00Z', 2), ['on 2026-03-28T18:00Z', 'off 2026-03-29T05:00Z']);
    assert.deepEqual(changes('02:30-04:00 Europe/Berlin', '2026-03-28T12:00Z', 2), ['on 2026-03-29T01:00Z', 'off 2026-03-29T02:00Z']);
    assert.deepEqual(changes('02:15-02:45 Europe/Berlin', '2026-03-28T12:00Z', 1), ['on 2026-03-30T00:15Z']);
  });

  it('keeps to the wall clock when it is set back', () => {
    // In Berlin 03:00 became 02:00 on the 25th of October 2026, at 01:00 UTC.
    assert.deepEqual(changes('19:00-07:00 Europe/Berlin', '2026-10-24T12:00Z', 2), ['on 2026-10-24T17:00Z', 'off 2026-10-25T06:00Z']);
    assert.deepEqual(changes('02:15-02:45 Europe/Berlin', '2026-10-24T12:00Z', 4), [
      'on 2026-10-25T00:15Z',
      'off 2026-10-25T00:45Z',
      'on 2026-10-25T01:15Z',
      'off 2026-10-25T01:45Z',
    ]);
  });

  it('knows zones with half hours, and such that set their clocks by half an hour', () => {
    assert.deepEqual(changes('09:00-09:01 Asia/Kathmandu', '2026-11-27T00:00Z', 2), ['on 2026-11-27T03:15Z', 'off 2026-11-27T03:16Z']);
    // On Lord Howe Island 02:00 became 01:30 on the 5th of April 2026, at 15:00 UTC of the day before.
    assert.deepEqual(changes('01:30-02:00 Australia/Lord_Howe', '2026-04-04T14:00Z', 2), ['on 2026-04-04T14:30Z', 'off 2026-04-04T15:30Z']);
  });

  it('finds the first change, whatever the hours', () => {
    const hour = fc.integer({ min: 0, max: 23 });
    const minute = fc.integer({ min: 0, max: 59 });
    const two = (value: number) => String(value).padStart(2, '0');
    const window = fc
      .tuple(
        fc.constantFrom('', 'mon ', 'sat-sun ', 'tue,fri '),
        hour,
        minute,
        hour,
        minute,
        fc.constantFrom('', ' Europe/Berlin', ' America/New_York'),
      )
      .filter(([, a, b, c, d]) => a !== c || b !== d)
      .map(([days, a, b, c, d, zone]) => `${days}${two(a)}:${two(b)}-${two(c)}:${two(d)}${zone}`);
    const from = fc.integer({ min: ms('2026-03-20'), max: ms('2026-03-31') });
    fc.assert(
      fc.property(fc.array(window, { minLength: 1, maxLength: 3 }), from, (texts, at) => {
        const hours = parseHours(texts);
        const found = hours.nextChangeMs(at) ?? at + 86_400_000;
        // By the minute, as a clock would show it.
        const until = Math.min(found, at + 86_400_000);
        for (let each = at; each < until; each += 60_000)
          assert.equal(hours.isActive(each), hours.isActive(at), `${texts.join()} ${iso(each)}`);
        if (hours.nextChangeMs(at) !== null) assert.notEqual(hours.isActive(found), hours.isActive(found - 1));
      }),
      { numRuns: 60 },
    );
  });

  it('says when it changes, in its zone, with the day if that is a day away', () => {
    const hours = parseHours(['mon-fri 19:00-07:00 Europe/Berlin']);
    assert.equal(hours.describeChange(ms('2026-11-27T12:00Z')), '19:00 Europe/Berlin');
    assert.equal(hours.describeChange(ms('2026-11-28T12:00Z')), 'Monday 19:00 Europe/Berlin');
    assert.equal(parseHours(['00:00-24:00']).describeChange(0), null);
  });
});

describe('hoursFault(text)', () => {
  it('says what is wrong', () => {
    const cases: [text: string, fault: RegExp | null][] = [
      ['19:00-07:00', null],
      ['9:00 - 17:00 utc', null],
      ['mon 00:00-24:00 Europe/Berlin', null],
      ['', /must be hours like "mon-fri 19:00-07:00 Europe\/Berlin"/],
      ['at night', /must be hours like/],
      ['19-7', /must be hours like/],
      ['19:00-07:00 Europe/Berlin please', /must be hours like/],
      ['25:00-07:00', /has the time 25:00: times go from 00:00 to 24:00/],
      ['19:60-07:00', /has the time 19:60/],
      ['00:00-24:01', /has the time 24:01/],
      ['08:00-08:00', /begin and end at the same time: write 00:00-24:00/],
      ['mo-fr 08:00-18:00', /has the days "mo-fr": days are like mon/],
      ['mon-wed-fri 08:00-18:00', /has the days "mon-wed-fri"/],
      ['mon,,fri 08:00-18:00', /has the days ""/],
      ['19:00-07:00 Europe/Berln', /unknown time zone "Europe\/Berln": did you mean Europe\/Berlin\?/],
      ['19:00-07:00 #####################', /unknown time zone .*: zones are like Europe\/Berlin/],
    ];
    for (const [text, fault] of cases) {
      const found = hoursFault(text);
      if (fault === null) assert.equal(found, null, text);
      else assert.match(found ?? '', fault, text);
    }
  });
});

describe('parseHourlyLimits(limits)', () => {
  it('answers the least number that applies, and when another one does', () => {
    const limits = parseHourlyLimits({ '08:00-18:00': 8, '12:00-13:00': 2, 'sat,sun 00:00-24:00': 32 });
    const at = (text: string) => [limits.limitAt(ms(text)), iso(limits.nextChangeMs(ms(text)))];
    assert.deepEqual(at('2026-11-27T07:00Z'), [null, '2026-11-27T08:00Z']);
    assert.deepEqual(at('2026-11-27T08:00Z'), [8, '2026-11-27T12:00Z']);
    assert.deepEqual(at('2026-11-27T12:30Z'), [2, '2026-11-27T13:00Z']);
    assert.deepEqual(at('2026-11-28T07:00Z'), [32, '2026-11-28T08:00Z']);
    assert.deepEqual([parseHourlyLimits({}).limitAt(0), parseHourlyLimits({}).nextChangeMs(0)], [null, null]);
  });
});
