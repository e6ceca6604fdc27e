import fc from "fast-check";
import t from "tap";

import { ANSWER, createAnswerReader, healthOf, infoOf, motorRequest } from "../../../drivers/serial/rplidar-replies.ts";
import { createScanDecoder, TABLE_SIZE, type ScanLayout } from "../../../drivers/serial/rplidar-scan.ts";
import { createTfminiDecoder } from "../../../drivers/serial/tfmini-frames.ts";
import { cuts } from "../../helpers/cuts.ts";
import { rplidarNode } from "../../../drivers/board/sim/instruments/rplidar.ts";
import { tfminiFrame } from "../../../drivers/board/sim/instruments/tfmini.ts";

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

/** What the TFmini decoder makes of the pieces: `100cm 500`, and the counters. */
function readFrames(pieces: readonly Uint8Array[]): { readonly found: string[]; readonly bad: number } {
  const found: string[] = [];
  const decoder = createTfminiDecoder((distanceCm, strength) => found.push(`${distanceCm}cm ${strength}`));
  for (const piece of pieces) decoder.push(piece);
  t.equal(decoder.frames, found.length);
  return { found, bad: decoder.badFrames };
}

t.test("TFmini frames are found however they arrive", async (t) => {
  // Distance 0x0159 and strength 0x5959 look like headers.
  const bytes = Buffer.concat([tfminiFrame(100, 500), tfminiFrame(0x159, 0x5959), tfminiFrame(1200, 65_535)]);
  for (const pieces of cuts(latin1(bytes))) {
    t.same(readFrames(pieces), { found: ["100cm 500", "345cm 22873", "1200cm 65535"], bad: 0 });
  }
});

t.test("a frame with the checksum of the manual's rule is taken, one with another is counted", async (t) => {
  // 0x59 0x59 dist 0x0064 strength 0x01F4 temp 0x08C8, sum of the first eight bytes: 0x59+0x59+0x64+0xF4+0x01+0xC8+0x08 = 0x2DB.
  const good = Uint8Array.of(0x59, 0x59, 0x64, 0x00, 0xf4, 0x01, 0xc8, 0x08, 0xdb);
  t.same(readFrames([good]), { found: ["100cm 500"], bad: 0 });
  const bad = Uint8Array.from(good);
  bad[2] = 0x65;
  t.same(readFrames([bad, good, good]), { found: ["100cm 500", "100cm 500"], bad: 1 });
});

t.test("a TFmini frame cut anywhere loses itself alone", async (t) => {
  const frame = tfminiFrame(321, 800);
  for (let length = 1; length < frame.length; length++) {
    const { found } = readFrames([frame.subarray(0, length), tfminiFrame(100, 500), tfminiFrame(101, 500), tfminiFrame(102, 500)]);
    t.same(found.slice(-2), ["101cm 500", "102cm 500"], `cut after ${length} bytes`);
    t.notOk(
      found.some((text) => !/^10[012]cm 500$/.test(text)),
      "and nothing is invented",
    );
  }
});

t.test("garbage before TFmini frames is skipped, whatever it is", async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 30 }), (garbage, step) => {
      const bytes = Buffer.concat([garbage, ...[1, 2, 3, 4].map((cm) => tfminiFrame(cm, 500))]);
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; at += step) pieces.push(bytes.subarray(at, at + step));
      const whole = readFrames([bytes]);
      t.same(readFrames(pieces), whole);
      return whole.found.slice(-2).join() === "3cm 500,4cm 500";
    }),
    { numRuns: 300 },
  );
});

const LAYOUT: ScanLayout = { forwardDeg: 0, turned: false, noEchoM: 0 };

interface Tables {
  readonly tables: (readonly number[])[];
  readonly nodes: number;
  readonly resyncs: number;
}

function readTables(pieces: readonly Uint8Array[], layout: Partial<ScanLayout> = {}): Tables {
  const tables: (readonly number[])[] = [];
  const decoder = createScanDecoder({ ...LAYOUT, ...layout }, (table) => tables.push(table));
  for (const piece of pieces) decoder.push(piece);
  return { tables, nodes: decoder.nodes, resyncs: decoder.resyncs };
}

/** `turns` whole turns with the four first nodes of the next, a node every `stepDeg`. */
function turnsOf(distance: (angleDeg: number) => number, turns: number, stepDeg = 1): Uint8Array {
  const nodes: Uint8Array[] = [];
  for (let turn = 0; turn < turns; turn++) {
    for (let angle = 0; angle < 360; angle += stepDeg) nodes.push(rplidarNode(angle, distance(angle), angle === 0));
  }
  for (let i = 0; i < 4; i++) nodes.push(rplidarNode(i * stepDeg, distance(i * stepDeg), i === 0));
  return Buffer.concat(nodes);
}

/** Every degree its own distance, so that one in the wrong place is seen. */
const own = (angleDeg: number): number => (1000 + angleDeg) / 1000;

/** The table that `own` makes: the scanner's angles rise clockwise, the table's counter-clockwise. */
const OWN_TABLE = Array.from({ length: TABLE_SIZE }, (_, place) => own((360 - place) % 360));

t.test("a turn becomes a table: straight ahead first, then counter-clockwise; the first turn, which began unseen, does not", async (t) => {
  const { tables, nodes, resyncs } = readTables([turnsOf(own, 3)]);
  t.same(tables, [OWN_TABLE, OWN_TABLE]);
  t.equal(nodes, 3 * 360 + 4);
  t.equal(resyncs, 0);
});

t.test("nodes are found however they arrive", async (t) => {
  const bytes = turnsOf(own, 3, 8);
  const whole = readTables([bytes]);
  t.equal(whole.tables.length, 2);
  for (const pieces of cuts(latin1(bytes))) t.same(readTables(pieces), whole);
  for (let step = 2; step < 12; step++) {
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += step) pieces.push(bytes.subarray(at, at + step));
    t.same(readTables(pieces), whole, `pieces of ${step} bytes`);
  }
});

t.test("the node of the protocol description's fields is read as it says", async (t) => {
  // Quality 15, S = 0, !S = 1; angle 90.5° = 5792/64; distance 1234.25 mm = 4937/4.
  t.same(rplidarNode(90.5, 1.234_25, false), Uint8Array.of(0x3e, 0x41, 0x2d, 0x49, 0x13));
  const bytes = Buffer.concat([turnsOf(() => 2, 1).subarray(0, -15), rplidarNode(0.5, 1.234_25, false), turnsOf(() => 2, 1).subarray(5)]);
  // 0.5° is nearest to 1°, which is 359 counter-clockwise.
  t.equal(readTables([bytes]).tables[0]?.[359], 1.234);
});

t.test("of several echoes in one degree the nearest counts; a degree without a node is 0", async (t) => {
  const { tables } = readTables([turnsOf((deg) => (deg % 1 === 0 ? 3 : 2.5), 2, 0.5)]);
  t.equal(tables[0]?.[10], 2.5);
  const sparse = readTables([turnsOf(() => 3, 2, 2)]).tables[0] ?? [];
  t.same([sparse[0], sparse[1], sparse[2]], [3, 0, 3]);
});

t.test("a direction without an echo is 0, or what the configuration says, and one echo is enough", async (t) => {
  const half = (deg: number): number => (deg >= 90 && deg < 270 ? 0 : 2);
  t.same(readTables([turnsOf(half, 2)]).tables[0]?.slice(88, 93), [2, 2, 2, 0, 0]);
  t.same(readTables([turnsOf(half, 2)], { noEchoM: 30 }).tables[0]?.slice(88, 93), [2, 2, 2, 30, 30]);
  t.equal(readTables([turnsOf(() => 3, 2, 2)], { noEchoM: 30 }).tables[0]?.[1], 0, "where no node came nothing is known");
  t.equal(readTables([turnsOf((deg) => (deg % 1 === 0 ? 0 : 2.5), 2, 0.5)], { noEchoM: 30 }).tables[0]?.[10], 2.5);
});

t.test("the table begins where the vehicle looks, in the sense the scanner hangs", async (t) => {
  t.equal(readTables([turnsOf(own, 2)], { forwardDeg: 90 }).tables[0]?.[0], own(90));
  t.equal(readTables([turnsOf(own, 2)], { forwardDeg: 90 }).tables[0]?.[10], own(80));
  t.equal(readTables([turnsOf(own, 2)], { forwardDeg: 90, turned: true }).tables[0]?.[10], own(100));
  t.equal(readTables([turnsOf(own, 2)], { forwardDeg: -10, turned: true }).tables[0]?.[0], own(350));
});

t.test("angles from 360° on are those from 0° on", async (t) => {
  const nodes = [rplidarNode(360.5, 1.5, false)];
  const bytes = Buffer.concat([turnsOf(() => 2, 2).subarray(0, -20), ...nodes, turnsOf(() => 2, 1).subarray(0, 25)]);
  t.equal(readTables([bytes]).tables[0]?.[359], 1.5);
});

t.test("whatever is lost, doubled or changed on the line: no table has a distance that was not measured there", async (t) => {
  const bytes = turnsOf(own, 4, 4);
  const whole = readTables([bytes]).tables[0] as readonly number[];
  const check = (broken: Uint8Array, what: string): void => {
    const { tables } = readTables([broken]);
    for (const table of tables) {
      const strange = table.findIndex((distance, place) => distance !== 0 && distance !== whole[place]);
      if (strange >= 0) t.fail(`${what}: ${table[strange] ?? ""} m at ${strange}`);
    }
  };
  for (let at = 0; at < bytes.length; at++) {
    check(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]), `byte ${at} lost`);
    check(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 7)]), `7 bytes lost from ${at}`);
    check(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 100)]), `100 bytes lost from ${at}`);
    check(Buffer.concat([bytes.subarray(0, at + 1), bytes.subarray(at)]), `byte ${at} twice`);
  }
  t.pass("looked at every place");
});

t.test("after lost bytes the turn is dropped, counted, and the next whole one is a table again", async (t) => {
  const bytes = turnsOf(own, 5);
  const broken = Buffer.concat([bytes.subarray(0, 2403), bytes.subarray(2405)]);
  const { tables, resyncs } = readTables([broken]);
  t.same(tables, [OWN_TABLE, OWN_TABLE, OWN_TABLE]);
  t.equal(resyncs, 1);
});

t.test("nothing but garbage makes no table that a scanner could not have sent, and a scanner is found behind it", async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 1, max: 50 }), (garbage, step) => {
      const bytes = Buffer.concat([garbage, turnsOf(own, 3, 4)]);
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; at += step) pieces.push(bytes.subarray(at, at + step));
      const whole = readTables([bytes]);
      t.same(readTables(pieces), whole);
      return whole.tables.length >= 1;
    }),
    { numRuns: 200 },
  );
});

/** What the reader makes of the pieces: type and bytes of each answer, and what it leaves to whoever reads nodes. */
function readAnswers(pieces: readonly Uint8Array[]): { readonly answers: string[]; readonly left: string } {
  const answers: string[] = [];
  const left: Uint8Array[] = [];
  const reader = createAnswerReader((type, bytes) => answers.push(`${type}:${Buffer.from(bytes).toString("hex")}`));
  const scans = (): boolean => answers.at(-1)?.startsWith(`${ANSWER.scan}:`) === true;
  for (const piece of pieces) left.push(scans() ? piece : piece.subarray(reader.push(piece)));
  return { answers, left: Buffer.concat(left).toString("hex") };
}

// The descriptors are those of LR001, "Get device info", "Get device health status" and "Start scan".
const INFO = "a55a1400000004" + "181d0107" + "000102030405060708090a0b0c0d0e0f";
const HEALTH = "a55a0300000006" + "000000";
const SCAN = "a55a0500004081";

t.test("answers are found however they arrive, between whatever else is on the line", async (t) => {
  const text = Buffer.from("RP LIDAR System.\r\nFirmware Ver 1.29 \xa5\xa5").toString("hex");
  const bytes = Buffer.from(`${text}${INFO}a5${HEALTH}a55aff${SCAN}3e412d4913`, "hex");
  const expected = {
    answers: [`4:${INFO.slice(14)}`, "6:000000", "129:"],
    left: "3e412d4913",
  };
  for (const pieces of cuts(latin1(bytes))) t.same(readAnswers(pieces), expected);
});

t.test("a descriptor of an impossible length is skipped", async (t) => {
  const bytes = Buffer.from(`a55affffff3f04a55a00000000aa${HEALTH}`, "hex");
  t.same(readAnswers([bytes]).answers, ["6:000000"]);
});

t.test("behind garbage of any kind an answer is found, at the latest the one after", async (t) => {
  const health = Buffer.from(HEALTH, "hex");
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (garbage) => {
      // Garbage may begin an answer of up to 64 bytes.
      const { answers } = readAnswers([Buffer.concat([garbage, ...Array.from({ length: 10 }, () => health)])]);
      return answers.includes("6:000000");
    }),
  );
  t.pass();
});

t.test("info and health are read, and what is none is not", async (t) => {
  t.same(infoOf(Buffer.from(INFO.slice(14), "hex")), {
    model: 0x18,
    firmware: "1.29",
    hardware: 7,
    serial: "000102030405060708090a0b0c0d0e0f",
  });
  t.equal(infoOf(new Uint8Array(19)), undefined);
  t.same(healthOf(Uint8Array.of(0, 0, 0)), { status: "good", code: 0 });
  t.same(healthOf(Uint8Array.of(2, 0x34, 0x12)), { status: "error", code: 0x1234 });
  t.equal(healthOf(Uint8Array.of(3, 0, 0)), undefined);
  t.equal(healthOf(Uint8Array.of(0)), undefined);
});

t.test("the motor's duty is asked for with the checksum of the protocol: all bytes exclusive-ored", async (t) => {
  // 660 = 0x0294: A5 ^ F0 ^ 02 ^ 94 ^ 02 = C1
  t.same(motorRequest(660), Uint8Array.of(0xa5, 0xf0, 0x02, 0x94, 0x02, 0xc1));
});
