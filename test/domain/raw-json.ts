import fc from 'fast-check';

/**
 * Makes JSON as text, in ways in which nothing that parses and writes JSON again would leave it alone: number lexemes, repeated
 * keys, escapes, separators that stand raw, whitespace between tokens.
 */
export interface RawJson {
  /** A string with its quotes. */
  string: fc.Arbitrary<string>;
  /** Any value. */
  value: fc.Arbitrary<string>;
  /** An object. */
  object: fc.Arbitrary<string>;
  /** What may stand between two tokens; often nothing. */
  space: fc.Arbitrary<string>;
}

const BACKSLASH = '\\';
/** Their first bytes in UTF-8 are those of the separators, or they end like these. */
const NEIGHBOURS = ['\u0084', '\u0086', '\u00a0', '\u2027', '\u202a', '\u2085', '\u00c2', '\u00e2', '\u0142', '\u0168'];
const SEPARATORS = ['\u0085', '\u2028', '\u2029'];
const ASTRAL = ['😀', '𝒳', '\u{10000}', '\u{10ffff}', '👩‍👩‍👧'];
/** Half of a pair may stand as an escape only. */
const ESCAPES = ['"', BACKSLASH, '/', 'b', 'f', 'n', 'r', 't', 'u0000', 'u000b', 'u001C', 'u0085', 'u2028', 'ud83d', 'uDE00', 'u00e9'];
const STRUCTURE = ['{', '}', '[', ']', ',', ':', ' ', "'", '\u007f', '\ufeff'];

const NUMBERS = ['0', '-0', '1.0', '-0.0', '1e5', '1E+05', '1e400', '-1.50e-7', '9223372036854775807', '0.30000000000000004'];
const LITERALS = ['null', 'true', 'false', '""', '{}', '[]'];
const KEYS = ['"a"', '"body"', '"custom_id"', '"b\\u006fdy"', '"__proto__"', '"constructor"', '"0"', '""', '"\u2028"', '"é"'];
/** Deep, and not too deep for `JSON.parse` on any stack. */
const MAX_LEVELS = 3000;

/** `breaks` are line breaks that may stand between tokens, beside blanks and tabs. */
export function rawJson(breaks: readonly string[]): RawJson {
  const space = fc.oneof(
    { weight: 3, arbitrary: fc.constant('') },
    fc.array(fc.constantFrom(' ', '\t', ...breaks), { minLength: 1, maxLength: 3 }).map((each) => each.join('')),
  );
  const piece = fc.oneof(
    fc.constantFrom(...SEPARATORS, ...NEIGHBOURS, ...ASTRAL, ...STRUCTURE),
    fc.constantFrom(...ESCAPES).map((escape) => BACKSLASH + escape),
    fc.string({ unit: 'binary', maxLength: 5 }).map((text) => text.replaceAll(/["\\\p{Cc}]/gu, '')),
  );
  const string = fc.array(piece, { maxLength: 6 }).map((pieces) => `"${pieces.join('')}"`);
  const number = fc.oneof(
    fc.constantFrom(...NUMBERS),
    fc.stringMatching(/^-?(?:0|[1-9][0-9]{0,30})(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?$/),
  );
  const key = fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...KEYS) }, string);
  /** What encloses, with whitespace at each of its tokens. */
  const enclosed = (open: string, members: fc.Arbitrary<string>, close: string) =>
    fc.tuple(fc.array(fc.tuple(space, members, space), { maxLength: 5 }), space).map(([found, blank]) => {
      const inside = found.map((each) => each.join('')).join(',');
      return open + (inside === '' ? blank : inside) + close;
    });
  const { value, object } = fc.letrec<{ value: string; array: string; object: string; deep: string }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      { weight: 3, arbitrary: fc.oneof(number, string, fc.constantFrom(...LITERALS)) },
      tie('object'),
      tie('array'),
      tie('deep'),
    ),
    array: enclosed('[', tie('value'), ']'),
    object: enclosed(
      '{',
      fc.tuple(key, space, space, tie('value')).map(([name, before, after, held]) => `${name}${before}:${after}${held}`),
      '}',
    ),
    deep: fc
      .tuple(fc.constantFrom(['[', ']'], ['{"a":', '}']), fc.integer({ min: 1, max: MAX_LEVELS }), number)
      .map(([[open = '', close = ''], levels, held]) => open.repeat(levels) + held + close.repeat(levels)),
  }));
  return { string, value, object, space };
}
