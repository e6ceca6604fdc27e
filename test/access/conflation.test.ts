import fc from "fast-check";
import t from "tap";

import { createConflator } from "../../agent/access/conflation.ts";
import type { AuditEntry } from "../../agent/access/audit-entry.ts";

function bench() {
  const entries: AuditEntry[] = [];
  let asked = 0;
  const conflator = createConflator({ emit: (entry) => entries.push(entry), awaitSweep: () => asked++ });
  const text = ({ kind, caller, subject, detail, firstMs, lastMs, count }: AuditEntry): string =>
    `${kind} ${caller} ${subject} ${detail} ${count === 1 ? firstMs : `${count}x ${firstMs}-${lastMs}`}`;
  return { conflator, entries, take: () => entries.splice(0).map(text), asked: () => asked };
}

t.test("what happens once is an entry at once; what is repeated is counted until the sweep", (t) => {
  const { conflator, take, asked } = bench();
  conflator.add("actuate", "rule r", "lamp", "on", 10);
  t.strictSame(take(), ["actuate rule r lamp on 10"]);
  t.equal(asked(), 1);
  for (let ms = 20; ms <= 1000; ms += 10) conflator.add("actuate", "rule r", "lamp", "on", ms);
  t.strictSame(take(), []);
  t.equal(conflator.sweep(), true);
  t.strictSame(take(), ["actuate rule r lamp on 99x 20-1000"]);
  t.equal(conflator.conflated, 98);
  conflator.add("actuate", "rule r", "lamp", "on", 1010);
  conflator.sweep();
  t.strictSame(take(), ["actuate rule r lamp on 1010"], "one repetition is an entry as any other");
  t.equal(conflator.sweep(), false, "nothing happened any more");
  conflator.add("actuate", "rule r", "lamp", "on", 5000);
  t.strictSame(take(), ["actuate rule r lamp on 5000"], "after a quiet time it is new again");
  t.equal(asked(), 2, "asked for sweeps again");
  t.end();
});

t.test("a change settles what was counted before it, so that the order is kept", (t) => {
  const { conflator, take } = bench();
  conflator.add("actuate", "ada", "lamp", "on", 1);
  conflator.add("actuate", "ada", "lamp", "on", 2);
  conflator.add("actuate", "bob", "lamp", "on", 3);
  conflator.add("safe", "lease end", "lamp", "safe", 4);
  conflator.add("actuate", "ada", "pump", "on", 5);
  conflator.add("actuate", "ada", "lamp", "on", 6);
  t.strictSame(take(), [
    "actuate ada lamp on 1",
    "actuate ada lamp on 2",
    "actuate bob lamp on 3",
    "safe lease end lamp safe 4",
    "actuate ada pump on 5",
    "actuate ada lamp on 6",
  ]);
  t.end();
});

t.test("however fast somebody changes something, there are few entries, each of who did what and how often", (t) => {
  const { conflator, take } = bench();
  for (let i = 0; i < 100_000; i++) conflator.add("actuate", "ada", "lamp", i % 2 === 0 ? "on" : "off", i);
  conflator.add("estop", "bob", "lamp", "priority 255", 100_000);
  const before = take();
  t.ok(before.length < 100, `${before.length} entries`);
  t.ok(before.includes("estop bob lamp priority 255 100000"), "what is new is still an entry at once");
  conflator.sweep();
  const after = take();
  t.ok(after.length <= 3);
  const count = [...before, ...after].reduce((sum, line) => sum + Number(/ (\d+)x /.exec(line)?.[1] ?? 1), 0);
  t.equal(count, 100_001, "none is lost");
  t.end();
});

t.test("a stream of different arguments is one function; callers beyond measure are counted together", (t) => {
  const { conflator, take } = bench();
  for (let i = 0; i < 1000; i++) conflator.add("actuate", "ada", "rover", `drive(0.${i})`, i);
  conflator.sweep();
  t.match(take().at(-1), /^actuate ada rover drive\(0\.999\), and others \d+x \d+-999$/);
  for (let i = 0; i < 5000; i++) conflator.add("refuse", `10.0.${i >> 8}.${i & 255}`, "CLONE", "not authenticated", i);
  conflator.sweep();
  const lines = take();
  t.ok(lines.length < 110, `${lines.length} entries`);
  t.match(lines.at(-1), /^refuse several CLONE refuse not authenticated \d+x/);
  t.end();
});

t.test("subjects beyond measure share a place", (t) => {
  const { conflator, entries } = bench();
  for (let i = 0; i < 20_000; i++) conflator.add("refuse", "x", `subject ${i}`, "no", i);
  conflator.sweep();
  t.ok(entries.length < 1200, `${entries.length} entries`);
  t.equal(
    entries.reduce((sum, { count }) => sum + count, 0),
    20_000,
  );
  t.end();
});

t.test("whatever happens, every happening is counted in exactly one entry", (t) => {
  const word = fc.constantFrom("a", "b", "c");
  fc.assert(
    fc.property(fc.array(fc.tuple(word, word, word, fc.boolean()), { maxLength: 400 }), (happenings) => {
      const { conflator, entries } = bench();
      for (const [i, [caller, subject, detail, sweep]] of happenings.entries()) {
        conflator.add("actuate", caller, subject, `f(${detail})`, i);
        if (sweep && i % 50 === 0) conflator.sweep();
      }
      conflator.sweep();
      const by = (key: string): number => happenings.filter(([caller, subject]) => `${caller} ${subject}` === key).length;
      const counted = (key: string): number =>
        entries.filter(({ caller, subject }) => `${caller} ${subject}` === key).reduce((sum, { count }) => sum + count, 0);
      return ["a a", "a b", "b c", "c c"].every((key) => by(key) === counted(key));
    }),
  );
  t.end();
});
