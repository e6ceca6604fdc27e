import fc from "fast-check";
import t from "tap";

import { AgentError } from "../../../agent/contract/errors.ts";
import { openLedger, type Entry, type Ledger } from "../../../agent/services/queue/ledger.ts";
import { queueOptionsSchema } from "../../../agent/services/queue/options.ts";
import type { Message } from "../../../agent/services/queue/message.ts";
import type { RecordLog, RecordLogOptions } from "../../../agent/store/record-log.ts";
import { createFakeClock } from "../../helpers/fake-clock.ts";
import { createFakeLog } from "../../helpers/fake-log.ts";

/** What a crash leaves. */
type Disk = { readonly segment: number; readonly record: string }[];

type Fault = "none" | "throw" | "fail";

/** A log in memory that is written when the test says so, and whose appends fail when the test says so. */
interface FakeRecordLog {
  readonly open: (options: RecordLogOptions<Entry>) => Promise<RecordLog<Entry>>;
  /** Writes what was appended. */
  flush(): void;
  /** What comes goes to a new segment. */
  roll(): void;
  /** Has what is live in the oldest segment moved, and drops the segments in which nothing is. */
  compact(): void;
  readonly live: ReadonlyMap<number, number>;
  appends: number;
  faultAt: (append: number) => Fault;
}

function createFakeRecordLog(disk: Disk): FakeRecordLog {
  let options: RecordLogOptions<Entry> | undefined;
  let waiting: { readonly record: string; readonly entry: Entry; readonly fault: Fault }[] = [];
  let segment = Math.max(0, ...disk.map((one) => one.segment)) + 1;
  const live = new Map<number, number>();
  const weigh = (at: number, bytes: number): void => {
    const sum = (live.get(at) ?? 0) + bytes;
    if (sum < 0 || at < 0) throw new Error(`segment ${at} has ${sum} live bytes`);
    live.set(at, sum);
  };
  function flush(): void {
    const written = waiting;
    waiting = [];
    for (const { record, entry, fault } of written) {
      if (fault === "fail") {
        options?.failed(entry, new AgentError("IO", "the disk is gone"));
      } else {
        disk.push({ segment, record });
        options?.committed(entry, segment);
      }
    }
  }
  const fake: FakeRecordLog = {
    appends: 0,
    faultAt: () => "none",
    live,
    async open(given) {
      options = given;
      for (const { record, segment: at } of disk) given.replay(Buffer.from(record, "latin1"), at);
      return {
        append(record, entry) {
          fake.appends += 1;
          const fault = fake.faultAt(fake.appends);
          if (fault === "throw") throw new AgentError("FULL", "the disk is full");
          waiting.push({ record, entry, fault });
        },
        keep: weigh,
        release: (at, bytes) => {
          weigh(at, -bytes);
        },
        figures: () => ({}),
        async close() {
          flush();
        },
      };
    },
    flush,
    roll() {
      segment += 1;
    },
    compact() {
      const oldest = disk[0]?.segment;
      if (oldest === undefined || oldest === segment) return;
      options?.relocate(oldest);
      flush();
      while (disk[0] !== undefined && disk[0].segment !== segment && (live.get(disk[0].segment) ?? 0) === 0) disk.shift();
    },
  };
  return fake;
}

interface Opened {
  readonly ledger: Ledger;
  readonly log: FakeRecordLog;
  readonly clock: ReturnType<typeof createFakeClock>;
}

async function open(disk: Disk, queue: object = {}): Promise<Opened> {
  const log = createFakeRecordLog(disk);
  const clock = createFakeClock();
  const ledger = await openLedger({
    folder: "/nowhere",
    options: queueOptionsSchema.parse({ visibilityMs: 1000, maxDeliveries: 3, ...queue }),
    clock,
    log: createFakeLog(),
    openLog: log.open,
    taken: () => undefined,
    answered: () => undefined,
    ended: () => undefined,
  });
  log.flush();
  return { ledger, log, clock };
}

const SENT = { topic: "jobs", priority: 4, correlation: "", wallMs: 1, ip: "7f000001", from: "test" };

const PAYLOAD = "x".repeat(20);

/** Tries; what is thrown at once is told as what fails later is. */
function attempt<T>(work: (done: (outcome: T | AgentError) => void) => void, done: (outcome: T | AgentError) => void): void {
  try {
    work(done);
  } catch (error) {
    done(error as AgentError);
  }
}

function ids(ledger: Ledger): { readonly ready: readonly number[]; readonly deliveries: ReadonlyMap<number, number> } {
  const deliveries = new Map<number, number>();
  const ready: number[] = [];
  for (const topic of ["jobs", "dead.jobs"]) {
    for (let next = ledger.topics.receive(topic, Infinity); next !== undefined; next = ledger.topics.receive(topic, Infinity)) {
      ready.push(next.id);
      deliveries.set(next.id, next.deliveries - 1);
    }
  }
  return { ready: ready.sort((a, b) => a - b), deliveries };
}

/** What must hold, whatever failed. */
interface Model {
  /** Acknowledged as on disk. */
  readonly taken: Set<number>;
  /** Acknowledged or answered, and that was acknowledged too. */
  readonly gone: Set<number>;
  readonly replied: Set<number>;
  readonly delivered: Map<number, number>;
  highest: number;
}

type Step = "take" | "deliver" | "ack" | "reply" | "nack" | "flush" | "roll" | "compact" | "expire" | "reopen";

const STEPS: readonly Step[] = [
  "take",
  "take",
  "take",
  "deliver",
  "deliver",
  "ack",
  "reply",
  "nack",
  "flush",
  "roll",
  "compact",
  "expire",
  "reopen",
];

async function play(steps: readonly Step[], faultAt: (append: number) => Fault): Promise<Model> {
  const disk: Disk = [];
  const model: Model = { taken: new Set(), gone: new Set(), replied: new Set(), delivered: new Map(), highest: 0 };
  let opened = await open(disk);
  opened.log.faultAt = faultAt;
  let held: Message[] = [];
  const actions: Readonly<Record<Step, () => Promise<void> | void>> = {
    take() {
      attempt<Message>(
        (done) => opened.ledger.take({ ...SENT, payload: PAYLOAD }, done),
        (outcome) => {
          if (outcome instanceof AgentError) return;
          if (outcome.id <= model.highest) throw new Error(`id ${outcome.id} was given out before`);
          model.highest = outcome.id;
          model.taken.add(outcome.id);
        },
      );
    },
    deliver() {
      const message = opened.ledger.topics.receive("jobs", 1000) ?? opened.ledger.topics.receive("dead.jobs", 1000);
      if (message === undefined) return;
      held.push(message);
      model.delivered.set(message.id, message.deliveries);
    },
    ack() {
      const message = held.shift();
      if (message === undefined) return;
      attempt<undefined>(
        (done) => opened.ledger.acknowledge(message, done as () => void),
        (outcome) => {
          if (outcome === undefined) model.gone.add(message.id);
        },
      );
    },
    reply() {
      const message = held.shift();
      if (message === undefined) return;
      attempt<undefined>(
        (done) => opened.ledger.answer(message, "fine", done as () => void),
        (outcome) => {
          if (outcome !== undefined) return;
          model.gone.add(message.id);
          model.replied.add(message.id);
        },
      );
    },
    nack() {
      const message = held.shift();
      if (message !== undefined) opened.ledger.giveBack(message, 0, "");
    },
    flush: () => opened.log.flush(),
    roll: () => opened.log.roll(),
    compact: () => opened.log.compact(),
    expire: () => opened.clock.advanceNow(1000),
    async reopen() {
      // What was not flushed is lost, as when the agent is killed.
      held = [];
      const { appends } = opened.log;
      opened = await open(disk);
      opened.log.appends = appends;
      opened.log.faultAt = faultAt;
    },
  };
  for (const step of steps) await actions[step]();
  opened.log.flush();
  const { depth, bytes } = opened.ledger.figures();
  if (bytes !== PAYLOAD.length * Number(depth)) throw new Error(`${bytes} bytes are counted of ${depth} messages`);
  await check(disk, model);
  return model;
}

async function check(disk: Disk, model: Model): Promise<void> {
  const { ledger, log } = await open(disk);
  const found = ids(ledger);
  const lost = [...model.taken].filter((id) => !model.gone.has(id) && !found.ready.includes(id));
  if (lost.length > 0) throw new Error(`lost: ${lost.join(" ")}`);
  const back = found.ready.filter((id) => model.gone.has(id));
  if (back.length > 0) throw new Error(`came back: ${back.join(" ")}`);
  if (new Set(found.ready).size < found.ready.length) throw new Error(`doubled: ${found.ready.join(" ")}`);
  for (const id of model.replied) if (ledger.findReply(id)?.payload !== "fine") throw new Error(`the reply to ${id} is lost`);
  for (const id of found.ready) {
    const message = ledger.find(id);
    if (message !== undefined) ledger.acknowledge(message, () => undefined);
  }
  log.flush();
  const replies = [...log.live.values()].reduce((sum, bytes) => sum + bytes, 0);
  if (model.replied.size === 0 && replies > 20) throw new Error(`${replies} bytes are live when all is acknowledged`);
}

t.test("nothing acknowledged is lost or comes back, whatever happens in between", async (t) => {
  await t.resolves(
    fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...STEPS), { maxLength: 120 }), async (steps) => {
        await play(steps, () => "none");
      }),
      { numRuns: 500 },
    ),
  );
});

t.test("nor when any of the writes fails, at once or later", async (t) => {
  await t.resolves(
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...STEPS), { maxLength: 80 }),
        fc.array(fc.constantFrom<Fault>("none", "none", "throw", "fail"), { minLength: 1, maxLength: 40 }),
        async (steps, faults) => {
          await play(steps, (append) => faults[append % faults.length] ?? "none");
        },
      ),
      { numRuns: 500 },
    ),
  );
});

t.test("a fixed course of work survives the failure of each of its writes", async (t) => {
  const course: Step[] = [
    "take",
    "take",
    "flush",
    "deliver",
    "roll",
    "take",
    "flush",
    "compact",
    "ack",
    "compact",
    "flush",
    "deliver",
    "reply",
  ];
  course.push("flush", "roll", "take", "flush", "deliver", "nack", "deliver", "nack", "deliver", "nack", "flush", "compact", "reopen");
  for (const fault of ["throw", "fail"] as const) {
    for (let at = 1; at <= 25; at++) await play(course, (append) => (append === at ? fault : "none"));
  }
  const model = await play(course, () => "none");
  t.strictSame([...model.taken], [1, 2, 3, 4]);
  t.strictSame([...model.gone], [1, 2]);
  t.strictSame([...model.replied], [2]);
});

t.test("an acknowledgement that cannot be written leaves the message where it was", async (t) => {
  const { ledger, log, clock } = await open([]);
  const outcomes: unknown[] = [];
  ledger.take({ ...SENT, payload: "a" }, () => undefined);
  log.flush();
  const message = ledger.topics.receive("jobs", 1000) as Message;
  log.faultAt = () => "fail";
  ledger.acknowledge(message, (outcome) => outcomes.push(outcome));
  t.throws(
    () => {
      ledger.acknowledge(message, () => undefined);
    },
    { code: "UNKNOWN" },
  );
  clock.advanceNow(1000);
  t.equal(ledger.topics.receive("jobs", 1000), undefined, "it is not delivered while that is written");
  log.flush();
  t.match(outcomes, [{ code: "IO", message: "the disk is gone" }]);
  t.match(ledger.topics.receive("jobs", 1000), { id: 1, deliveries: 2 }, "its visibility had ended meanwhile");
  log.faultAt = () => "throw";
  t.throws(
    () => {
      ledger.answer(message, "x", () => undefined);
    },
    { code: "FULL" },
  );
  log.faultAt = () => "none";
  ledger.answer(message, "x", (outcome) => outcomes.push(outcome));
  clock.advanceNow(1000);
  t.equal(ledger.topics.receive("jobs", 1000), undefined, "nor while its answer is written");
  log.flush();
  t.equal(outcomes.at(-1), undefined);
  t.match(ledger.figures(), { depth: 0, bytes: 0, answered: 1, acknowledged: 0 });
});

t.test("the oldest segment is given up once what is live in it was moved", async (t) => {
  const disk: Disk = [];
  const { ledger, log } = await open(disk);
  for (const payload of ["a", "b"]) ledger.take({ ...SENT, payload }, () => undefined);
  log.flush();
  ledger.acknowledge(ledger.topics.receive("jobs", 1000) as Message, () => undefined);
  const second = ledger.topics.receive("jobs", 1000) as Message;
  log.roll();
  log.compact();
  t.strictSame([...new Set(disk.map(({ segment }) => segment))], [2]);
  ledger.answer(second, "c", () => undefined);
  log.roll();
  log.flush();
  log.compact();
  log.roll();
  ledger.take({ ...SENT, payload: "d" }, () => undefined);
  log.flush();
  log.compact();
  t.strictSame([...new Set(disk.map(({ segment }) => segment))], [4]);
  const again = await open(disk);
  t.equal(again.ledger.findReply(2)?.payload, "c");
  t.match(again.ledger.topics.receive("jobs", 1000), { id: 3, payload: "d" });
});

t.test("a delivery that did not count is not counted after a restart either", async (t) => {
  const disk: Disk = [];
  const { ledger, log } = await open(disk);
  ledger.take({ ...SENT, payload: "a" }, () => undefined);
  log.flush();
  const message = ledger.topics.receive("jobs", Infinity) as Message;
  let told = false;
  ledger.onDelivered(message, () => (told = true));
  t.equal(told, false, "not before it is on disk");
  log.flush();
  t.equal(told, true);
  ledger.unsettle(message, 10);
  ledger.unsettle(message, 10);
  log.flush();
  const again = await open(disk);
  t.match(again.ledger.topics.receive("jobs", 1000), { id: 1, deliveries: 1 });
});

t.test("records of a version to come are left out, and said", async (t) => {
  const disk: Disk = ["I\t5", "Z\t6\twhat", "E\tx", "", "A\t0"].map((record) => ({ segment: 1, record }));
  const { ledger, log } = await open(disk);
  ledger.take({ ...SENT, payload: "a" }, () => undefined);
  log.flush();
  t.match(ledger.topics.receive("jobs", 1000), { id: 5 });
});
