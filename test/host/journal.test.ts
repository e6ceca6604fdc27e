import t from "tap";

import { createJournal } from "../../agent/host/journal.ts";
import type { JournalEvent } from "../../agent/contract/journal.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";

t.test("events are numbered from one, stamped, and listed oldest first", (t) => {
  const clock = createFakeClock();
  const journal = createJournal(clock, 8);
  t.equal(journal.recorded, 0);
  t.same(journal.latest(5), []);
  t.equal(journal.record("open", "lamp", "", ""), 1);
  clock.advanceNow(250);
  t.equal(journal.record("actuate", "lamp", "bench", "on"), 2);
  t.same(journal.latest(5), [
    { id: 1, wallMs: 1_700_000_000_000, kind: "open", subject: "lamp", caller: "", detail: "", cause: 0 },
    { id: 2, wallMs: 1_700_000_000_250, kind: "actuate", subject: "lamp", caller: "bench", detail: "on", cause: 0 },
  ]);
  t.same(
    journal.latest(1).map(({ id }) => id),
    [2],
  );
  t.end();
});

t.test("a chain leads from an event back to what caused it", (t) => {
  const journal = createJournal(createFakeClock(), 8);
  const actuate = journal.record("actuate", "lamp", "bench", "on");
  journal.record("actuate", "pump", "bench", "on");
  const end = journal.record("lease-end", "lamp", "bench", "not renewed", actuate);
  const safe = journal.record("safe", "lamp", "lease end", "safe", end);
  t.same(
    journal.chain(safe).map(({ kind }) => kind),
    ["safe", "lease-end", "actuate"],
  );
  t.same(journal.chain(0), []);
  t.same(journal.chain(99), []);
  t.end();
});

t.test("only the newest are kept, and a chain ends where they do", (t) => {
  const journal = createJournal(createFakeClock(), 4);
  let last = 0;
  for (let i = 0; i < 10; i++) last = journal.record("actuate", `lamp${i}`, "bench", "on", last);
  t.equal(journal.recorded, 10);
  t.same(
    journal.latest(100).map(({ subject }) => subject),
    ["lamp6", "lamp7", "lamp8", "lamp9"],
  );
  t.same(
    journal.chain(last).map(({ id }) => id),
    [10, 9, 8, 7],
  );
  t.same(journal.chain(6), []);
  t.end();
});

t.test("an event that names itself or a later one as its cause does not make an endless chain", (t) => {
  const journal = createJournal(createFakeClock(), 4);
  const id = journal.record("fault", "lamp", "", "", 1);
  t.equal(journal.chain(id).length, 1);
  t.end();
});

t.test("who watches is told every event in order, until it stops, also while being told", (t) => {
  const clock = createFakeClock();
  const journal = createJournal(clock);
  const told: string[] = [];
  const listen = ({ id, kind, subject, caller, detail, cause, wallMs }: JournalEvent): void => {
    told.push(`${id} ${kind} ${subject} ${caller} ${detail} ${cause} ${wallMs}`);
  };
  const first = journal.watch(listen);
  const second = journal.watch(listen);
  const third = journal.watch(() => {
    second();
    third();
  });
  journal.record("actuate", "lamp", "ada", "on");
  journal.record("lease-end", "lamp", "ada", "not renewed", 1);
  first();
  first();
  journal.record("safe", "lamp", "ada", "safe");
  t.strictSame(told, [
    "1 actuate lamp ada on 0 1700000000000",
    "1 actuate lamp ada on 0 1700000000000",
    "2 lease-end lamp ada not renewed 1 1700000000000",
  ]);
  t.end();
});
