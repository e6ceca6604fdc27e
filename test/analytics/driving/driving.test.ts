import t, { type Test } from "tap";

import { startDriving, type Driving } from "../../../analytics/driving.ts";
import { createPairCounts, createPairParser } from "../../../analytics/pairs.ts";
import { createVariableStore, type VariableStore } from "../../../analytics/store.ts";
import type { VariableValue } from "../../../agent/contract/variable.ts";
import { createFakeClock, settled, type FakeClock } from "../../helpers/fake-clock.ts";
import { createFakeLog, type FakeLog } from "../../helpers/fake-log.ts";
import { corridor, drivingOptions, shaken } from "./scene.ts";

const ROAD = corridor(2.5, 25);

interface Bench {
  readonly clock: FakeClock;
  readonly store: VariableStore;
  readonly driving: Driving;
  readonly log: FakeLog;
  readonly value: (name: string) => VariableValue | undefined;
  /** Sets variables, lets them be noticed, and 10 ms pass. */
  readonly step: (values: Record<string, number | number[]>) => Promise<void>;
  /** The road and a speed, for as long. */
  readonly drive: (ms: number, values?: Record<string, number | number[]>) => Promise<void>;
}

function bench(t: Test, fields: Record<string, unknown> = {}, maxVariables = 100): Bench {
  const clock = createFakeClock();
  const log = createFakeLog();
  const store = createVariableStore({ clock, limits: { maxVariables, maxVariableBytes: 10_000 }, declared: {}, defaultStaleMs: 2000 });
  const driving = startDriving({ options: drivingOptions(fields), variables: store, clock, log });
  t.teardown(() => driving.close());
  const step = async (values: Record<string, number | number[]>): Promise<void> => {
    for (const [name, value] of Object.entries(values)) store.set(name, value, "test");
    await settled();
    await clock.advance(10);
  };
  return {
    clock,
    store,
    driving,
    log,
    value: (name) => store.get(name)?.value,
    step,
    async drive(ms, values = {}) {
      for (let at = 0; at < ms; at += 10) await step({ speed: 2, horizontal: shaken(ROAD, at), ...values });
    },
  };
}

t.test("every new table is planned, and what is planned is published", async (t) => {
  const { drive, driving, store, value, clock } = bench(t);
  t.match(driving.state(), { tables: 0, ok: false, reason: "no table yet" });
  await drive(700);
  t.match(driving.state(), { tables: 70, blind: 0, ok: true, reason: value("driving.reason"), lastError: undefined });
  t.equal(value("driving.accelerator"), 75);
  t.equal(value("driving.brake"), 0);
  t.equal(value("driving.clutch"), 0);
  t.equal(value("driving.gear"), "D");
  t.equal(value("driving.fuel"), "on");
  t.equal(value("driving.ok"), true);
  t.type(value("driving.velocity"), "number");
  t.type(value("driving.direction"), "number");
  t.match(store.get("driving.accelerator"), { source: "driving", stale: false, updates: 70 });
  t.equal(clock.pending(), 1, "one timer watches for silence");
});

t.test("nobody else can set what is published", async (t) => {
  const { drive, store, value } = bench(t);
  await drive(700);
  const counts = createPairCounts();
  const parser = createPairParser({ sink: store.intake("stream", counts), counts, maxPairBytes: 1000 });
  parser.push(Buffer.from("driving.accelerator=100\n"));
  t.match(counts, { pairs: 0, refused: 1 });
  t.throws(() => store.setPairs([{ name: "driving.brake", text: "0" }], "client"), { code: "DENIED" });
  t.equal(value("driving.accelerator"), 75);
});

t.test("without tables it stops, goes on saying so, and what it says stays fresh", async (t) => {
  const { drive, driving, store, value, step } = bench(t);
  await drive(700);
  for (let ms = 0; ms < 300; ms += 10) {
    await step({ speed: 2 });
    if (ms >= 20) t.equal(value("driving.accelerator"), 0, `${ms} ms`);
  }
  t.equal(value("driving.ok"), false);
  t.equal(value("driving.reason"), "table late");
  t.ok((value("driving.brake") as number) > 50);
  t.match(store.get("driving.brake"), { stale: false });
  t.ok(driving.state().blind > 5);
});

t.test("tables that the store refuses are tables that do not come", async (t) => {
  const { drive, store, value, step } = bench(t);
  await drive(700);
  const counts = createPairCounts();
  const parser = createPairParser({ sink: store.intake("stream", counts), counts, maxPairBytes: 20_000 });
  for (let ms = 0; ms < 200; ms += 10) {
    parser.push(Buffer.from(`horizontal=[nan ${ROAD.slice(1).join(" ")}]\n`));
    await step({ speed: 2 });
  }
  t.equal(counts.refused, 20);
  t.match(
    { ok: value("driving.ok"), accelerator: value("driving.accelerator"), velocity: value("driving.velocity") },
    { ok: false, accelerator: 0, velocity: 0 },
  );
});

t.test("what is no table is none", async (t) => {
  const { drive, value, store } = bench(t);
  await drive(700);
  store.set("horizontal", "broken", "test");
  await settled();
  t.match(
    { ok: value("driving.ok"), reason: value("driving.reason"), accelerator: value("driving.accelerator") },
    { ok: false, reason: "not 360 numbers", accelerator: 0 },
  );
});

t.test("a speed that comes no more stops it", async (t) => {
  const { drive, value, step, store } = bench(t);
  await drive(700);
  const changes: number[] = [];
  for (let ms = 0; ms < 500; ms += 10) {
    await step({ horizontal: shaken(ROAD, ms) });
    changes.push(value("driving.accelerator") as number);
  }
  t.ok(changes[10]! > 0, "300 ms it may be relied on");
  t.equal(changes[35], 0);
  t.equal(value("driving.reason"), "speed unknown");
  t.ok((value("driving.brake") as number) > 50);
  store.set("speed", "fast", "test");
  await step({ horizontal: shaken(ROAD, 1) });
  t.equal(value("driving.reason"), "speed unknown", "a word is no speed");
});

t.test("a speed that is asked for is kept to; when it is asked for no more, the vehicle stops", async (t) => {
  const { drive, value, step } = bench(t, { demandedSpeed: "demand", goal: "goal" });
  await drive(700);
  t.equal(value("driving.velocity"), 0, "nobody ever asked for one");
  await drive(100, { demand: 1.5, goal: 30 });
  t.equal(value("driving.velocity"), 1.5);
  t.ok((value("driving.direction") as number) > 0, "to the left");
  for (let ms = 0; ms < 400; ms += 10) await step({ speed: 2, horizontal: shaken(ROAD, ms) });
  t.equal(value("driving.velocity"), 0);
});

t.test("a vertical table that is configured has to come", async (t) => {
  const { drive, value } = bench(t, { vertical: "vertical" });
  await drive(700);
  t.match(
    { ok: value("driving.ok"), reason: value("driving.reason"), accelerator: value("driving.accelerator") },
    { ok: false, reason: "no vertical table", accelerator: 0 },
  );
  const level = Array.from({ length: 360 }, (_, ray) => Math.min(30, ray > 180 ? 1.2 / Math.sin(((360 - ray) * Math.PI) / 180) : 30));
  await drive(700, { vertical: level });
  t.equal(value("driving.ok"), true);
});

t.test("after the end nothing is published, and what was goes stale", async (t) => {
  const { drive, driving, store, clock } = bench(t);
  await drive(700);
  driving.close();
  await drive(210);
  t.match(store.get("driving.accelerator"), { updates: 70, stale: true });
  t.equal(clock.pending(), 0);
});

t.test("a store without room is told once", async (t) => {
  const { drive, driving, log } = bench(t, {}, 3);
  await drive(200);
  t.match(driving.state().lastError, /no slot is free for driving\./);
  t.equal(log.lines.filter((line) => line.startsWith("error driving cannot publish")).length, 1);
});
