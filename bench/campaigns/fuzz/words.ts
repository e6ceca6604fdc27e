// Words that requests are made of, whatever the service.
import fc from "fast-check";

/** The words of a request, verb first. */
export type Words = readonly string[];

const byte = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));

/** Any bytes, one character each. */
export const bytes = (maxLength: number) => fc.string({ unit: byte, maxLength });

/** What was never meant to be a number, a name or a path. */
export const hostile = fc.constantFrom(
  ...["", " ", "\0", "\r\n", "\n", '"', "'", "*", "**", "\\", "%s%n%x", "${x}", "../..", "__proto__", "constructor", "constructor.call"],
  ...["toString", "null", "undefined", "NaN", "\u00ff\u00fe", "\u00c3\u0028", "a\0b", "9".repeat(400), "x".repeat(3000)],
);

/** Sizes, offsets, counts and times nobody should ask for, beside some that are fine. */
export const number = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 2000 }).map(String) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...["-1", "-0", "+1", "0x10", "1e3", "1.5", "00", " 1", "1 ", "", "NaN", "Infinity", "-9223372036854775808"],
      ...["65535", "65536", "1048576", "1048577", "2147483647", "2147483648", "4294967295", "4294967296"],
      ...["9007199254740991", "9007199254740993", "9223372036854775807", "18446744073709551616", "1e308", "9".repeat(60)],
    ),
  },
  { weight: 1, arbitrary: fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }).map(String) },
);

/** Data of all sizes, text and not. */
export const data = fc.oneof(
  { weight: 6, arbitrary: bytes(40) },
  { weight: 3, arbitrary: bytes(600) },
  { weight: 1, arbitrary: fc.tuple(bytes(4), fc.integer({ min: 1, max: 1500 })).map(([text, times]) => text.repeat(times)) },
);

/** Mostly what belongs there, now and then what does not. */
export function mostly(belongs: fc.Arbitrary<string>, chance = 12): fc.Arbitrary<string> {
  return fc.oneof({ weight: chance, arbitrary: belongs }, { weight: 1, arbitrary: hostile }, { weight: 1, arbitrary: bytes(12) });
}

/** Every word by its own arbitrary, in order. */
export function request(...words: readonly (string | fc.Arbitrary<string>)[]): fc.Arbitrary<Words> {
  return fc.tuple(...words.map((word) => (typeof word === "string" ? fc.constant(word) : word)));
}

/** `words`, sometimes followed by options, each of which may be there, twice, or wrong. */
export function withOptions(words: fc.Arbitrary<Words>, ...options: readonly fc.Arbitrary<Words>[]): fc.Arbitrary<Words> {
  return fc.tuple(words, fc.array(fc.oneof(...options), { maxLength: 3 })).map(([first, rest]) => [...first, ...rest.flat()]);
}

/** In any case, with a word missing, one too many, or all of them in another order. The verb of a reordered request may be anything. */
export function disturbed(words: fc.Arbitrary<Words>): fc.Arbitrary<Words> {
  return fc.oneof(
    { weight: 20, arbitrary: words },
    { weight: 2, arbitrary: words.map(([verb = "", ...rest]) => [verb.toLowerCase(), ...rest]) },
    { weight: 2, arbitrary: words.map((all) => all.slice(0, -1)).filter((all) => all.length > 0) },
    { weight: 2, arbitrary: fc.tuple(words, hostile).map(([all, more]) => [...all, more]) },
    { weight: 1, arbitrary: words.map((all) => all.toReversed()) },
    { weight: 1, arbitrary: fc.tuple(words, words).map(([[verb = ""], [, ...rest]]) => [verb, ...rest]) },
  );
}
