import fc from "fast-check";
import t from "tap";

import { createGlob } from "../../../agent/services/memory/glob.ts";

t.test("patterns match as those of Redis do", (t) => {
  const cases: readonly (readonly [pattern: string, matching: readonly string[], others: readonly string[]])[] = [
    ["*", ["", "a", "a:b", "\xff\0"], []],
    ["", [""], ["a"]],
    ["a*", ["a", "ab", "a*"], ["", "ba"]],
    ["*a", ["a", "ba", "aba"], ["", "ab"]],
    ["a*b*c", ["abc", "a--b--c", "abcbc"], ["ab", "acb", "abcd"]],
    ["h?llo", ["hello", "h\xffllo"], ["hllo", "heello"]],
    ["h[ae]llo", ["hello", "hallo"], ["hillo", "h[ae]llo"]],
    ["h[^e]llo", ["hallo"], ["hello", "hllo"]],
    ["[a-c]x", ["ax", "bx", "cx"], ["dx", "-x", "x"]],
    ["[c-a]x", ["bx"], ["dx"]],
    ["[a-]x", ["ax", "-x"], ["bx"]],
    ["[\\]]x", ["]x"], ["\\x"]],
    ["[ab", ["a", "b"], ["c", "[ab"]],
    ["a\\*", ["a*"], ["ab", "a\\*"]],
    ["a\\", ["a\\"], ["a"]],
    ["a**", ["a", "ab", "a*"], ["", "ba"]],
    ["**a**", ["a", "xax"], ["x"]],
    ["settings:*", ["settings:", "settings:a"], ["setting", "xsettings:a"]],
  ];
  for (const [pattern, matching, others] of cases) {
    const matches = createGlob(pattern);
    for (const key of matching) t.ok(matches(key), `${pattern} matches ${JSON.stringify(key)}`);
    for (const key of others) t.notOk(matches(key), `${pattern} does not match ${JSON.stringify(key)}`);
  }
  t.end();
});

t.test("a pattern of stars and text is what a regular expression says, and never takes long", (t) => {
  const word = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 8 });
  fc.assert(
    fc.property(fc.array(word, { maxLength: 4 }), word, (parts, key) => {
      t.equal(createGlob(parts.join("*"))(key), new RegExp(`^${parts.join(".*")}$`).test(key));
    }),
  );
  t.notOk(createGlob("a*".repeat(500))("a".repeat(400)), "far from exponential");
  t.end();
});
