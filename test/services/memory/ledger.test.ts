import { rmSync } from "node:fs";

import fc from "fast-check";
import t from "tap";
import type { Test } from "tap";

import { toAgentError } from "../../../agent/contract/errors.ts";
import { openLedger, type Ledger } from "../../../agent/services/memory/ledger.ts";
import { decodeParts, encodePart, type Part } from "../../../agent/services/memory/part.ts";
import { createFakeClock } from "../../helpers/fake-clock.ts";
import { createFakeLog } from "../../helpers/fake-log.ts";
import { stateFolder } from "../../helpers/memory.ts";

/** Things held in a map, changed as the memory service does: the ledger first, then memory. */
async function openThings(t: Test, folder: string, segmentBytes?: number) {
  const things = new Map<string, Part>();
  const log = createFakeLog();
  const owner = {
    capture: (id: string) => things.get(id),
    restore(id: string, part: Part | undefined) {
      if (part === undefined) things.delete(id);
      else things.set(id, part);
      return part !== undefined;
    },
  };
  const ledger: Ledger = await openLedger({
    folder,
    clock: createFakeClock(),
    log,
    owner,
    ...(segmentBytes === undefined ? {} : { segmentBytes }),
  });
  t.teardown(() => ledger.close());
  let revision = ledger.foundRevision;
  const change = (...pairs: readonly (readonly [id: string, value: string | undefined])[]): Promise<void> => {
    revision += 1;
    const parts = pairs.map(([id, value]) => ({ id, revision, untilWallMs: 0, value }));
    const written = ledger.write(parts);
    for (const part of parts) owner.restore(part.id, part.value === undefined ? undefined : part);
    return written;
  };
  const values = () => Object.fromEntries([...things].map(([id, { value }]) => [id, value]));
  return { ledger, change, values, log };
}

t.test("parts come out of a record as they went in, whatever bytes they hold", (t) => {
  const bytes = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 60 });
  const part = fc.record({ id: bytes, revision: fc.nat(), untilWallMs: fc.nat(), value: fc.option(bytes, { nil: undefined }) });
  fc.assert(
    fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
      t.same(decodeParts(parts.map(encodePart).join("")), parts);
    }),
  );
  for (const record of ["x", "1 2 3", "1 0 5 5\nab", "1 0 -1 1\n", "1 0 1 1\nab0"])
    t.throws(() => decodeParts(record), { code: "IO" }, record);
  t.end();
});

t.test("what was acknowledged is there after a restart, also one without an end", async (t) => {
  const folder = stateFolder(t);
  const first = await openThings(t, folder);
  await Promise.all([first.change(["ka", "1"]), first.change(["kb", "2"], ["kc", "3"])]);
  await first.change(["ka", "x".repeat(5000)], ["kb", undefined]);
  const second = await openThings(t, folder);
  t.same(second.values(), { ka: "x".repeat(5000), kc: "3" });
  t.equal(second.ledger.foundRevision, 3);
});

t.test("something that is not on disk yet is known to be", async (t) => {
  const { change, ledger } = await openThings(t, stateFolder(t));
  const written = change(["ka", "1"]);
  const unsettled = ledger.unsettled("ka");
  t.ok(unsettled !== undefined);
  t.equal(ledger.unsettled("kb"), undefined);
  await written;
  t.equal(await unsettled, true);
  t.equal(ledger.unsettled("ka"), undefined);
});

t.test("what is written over and over takes no more room than what is live", async (t) => {
  const folder = stateFolder(t);
  const { change, ledger, values } = await openThings(t, folder, 64 * 1024);
  await change(["kold", "stays"], ["kgone", "goes"]);
  await change(["kgone", undefined]);
  for (let round = 0; round < 60; round++) {
    await Promise.all(Array.from({ length: 10 }, (_, i) => change([`k${i}`, `${round}:`.padEnd(1000, "x")])));
  }
  t.ok((ledger.figures()["log_segments"] as number) < 8, `${ledger.figures()["log_segments"]} segments`);
  const before = values();
  t.equal(before["kold"], "stays");
  await ledger.close();
  t.same((await openThings(t, folder, 64 * 1024)).values(), before);
});

t.test("what cannot be written is undone, and what came before it stays", async (t) => {
  const folder = stateFolder(t);
  const { change, values } = await openThings(t, folder, 64 * 1024);
  await change(["ka", "before"], ["kb", "before"]);
  rmSync(folder, { recursive: true });
  /** The value when it was kept, else the error's word. */
  const attempt = async (value: string, ...more: (readonly [string, string])[]): Promise<string> => {
    try {
      await change(["ka", value], ...more);
      return value;
    } catch (error) {
      return toAgentError(error).code;
    }
  };
  let last = "before";
  let outcomes: string[] = [];
  for (let round = 0; round < 30 && !/^(IO|FULL)$/.test(outcomes.at(-1) ?? ""); round++) {
    const text = `${round}:`.padEnd(10_000, "x");
    outcomes = await Promise.all([attempt(text), attempt(`${text}!`, ["kc", text])]);
    last = outcomes.findLast((outcome) => outcome.length > 10) ?? last;
  }
  t.match(outcomes.at(-1), /^(IO|FULL)$/);
  t.equal(values()["ka"], last);
  t.equal(values()["kb"], "before");
});

t.test("a closed ledger refuses before anything is changed", async (t) => {
  const { change, ledger, values } = await openThings(t, stateFolder(t));
  await change(["ka", "1"]);
  await ledger.close();
  t.throws(() => change(["ka", "2"]), { code: "IO" });
  t.same(values(), { ka: "1" });
});
