import fc from "fast-check";
import t from "tap";

import { answerOf, PIDS, supportedIn } from "../../../drivers/serial/elm327-pids.ts";
import {
  callDevice,
  createFakeDeviceContext,
  openDevice,
  optionErrors,
  type FakeDeviceContext,
} from "../../helpers/fake-device-context.ts";
import { createReplyReader, type Reply } from "../../../drivers/serial/elm327-replies.ts";
import { createSimElm327 } from "../../../drivers/board/sim/instruments/elm327.ts";
import { createTurns } from "../../../drivers/serial/elm327-poll.ts";
import { createVariableStore } from "../../../analytics/store.ts";
import { cuts } from "../../helpers/cuts.ts";
import { elm327Driver } from "../../../drivers/serial/elm327.ts";
import { limitsSchema } from "../../../agent/contract/limits.ts";
import { readSpeed } from "../../../drivers/vehicle/measured.ts";

const PATH = "/dev/serial/by-id/usb-obd";

function readReplies(pieces: readonly Uint8Array[]): { readonly replies: string[]; readonly overlong: number } {
  const replies: string[] = [];
  const reader = createReplyReader(({ kind, lines }: Reply) => replies.push(`${kind} ${lines.join("|")}`));
  for (const piece of pieces) reader.push(piece);
  return { replies, overlong: reader.overlong };
}

// The replies as the ELM327 data sheet prints them: "Talking to the vehicle", "Multiline responses", "Error messages and alerts".
const DIALOGUE: readonly (readonly [string, string])[] = [
  ["\r\rELM327 v1.4b\r\r", "restarted ELM327V1.4B"],
  ["ATE0\rOK\r\r", "ok ATE0|OK"],
  ["SEARCHING...\r41 00 BE 1F B8 10 \r\r", "data 4100BE1FB810"],
  ["41 05 7B \r\r", "data 41057B"],
  ["410C1AF8\r\n\r\n", "data 410C1AF8"],
  ["41 00 BE 3E B8 11 \r41 00 80 10 80 00 \r\r", "data 4100BE3EB811|410080108000"],
  ["BUS INIT: OK\r4100BE3EB811\r\r", "data 4100BE3EB811"],
  ["BUS INIT: ...ERROR\r\r", "error BUSINIT:...ERROR"],
  ["NO DATA\r\r", "none NODATA"],
  ["SEARCHING...\rUNABLE TO CONNECT\r\r", "error UNABLETOCONNECT"],
  ["?\r\r", "error ?"],
  ["STOPPED\r\r", "error STOPPED"],
  ["CAN ERROR\r\r", "error CANERROR"],
  ["41 0D 3C <DATA ERROR\r\r", "error 410D3C<DATAERROR"],
  ["BUFFER FULL\r\r", "error BUFFERFULL"],
  ["\rLV RESET\r\r", "restarted LVRESET"],
  ["4\u00001057B\r\r", "data 41057B"],
];

t.test("replies of the data sheet are read however they arrive", async (t) => {
  const bytes = DIALOGUE.map(([text]) => `${text}>`).join("");
  const expected = { replies: DIALOGUE.map(([, read]) => read), overlong: 0 };
  for (const pieces of cuts(bytes)) t.same(readReplies(pieces), expected);
});

t.test("a reply without end is dropped up to its prompt, and counted", async (t) => {
  const long = Buffer.from(`${"41057B\r".repeat(500)}>41057B\r\r>`, "latin1");
  t.same(readReplies([long]), { replies: ["data 41057B"], overlong: 1 });
});

t.test("garbage ends no reader, and the reply behind its prompt is read", async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), (garbage) => {
      const { replies } = readReplies([garbage, Buffer.from(">410D3C\r\r>", "latin1")]);
      return replies.at(-1) === "data 410D3C";
    }),
  );
  t.pass();
});

t.test("values are what SAE J1979 makes of their bytes", async (t) => {
  const value = (name: keyof typeof PIDS, line: string): number | undefined => {
    const { code, bytes, value: of } = PIDS[name];
    const found = answerOf([line], code, bytes);
    return found === undefined ? undefined : of(found[0] ?? 0, found[1] ?? 0);
  };
  // The two examples of the data sheet, "Talking to the vehicle": 83 °C and 1726 revolutions.
  t.equal(value("coolant", "41057B"), 83);
  t.equal(value("rpm", "410C1AF8"), 1726);
  t.equal(value("speed", "410D24"), 10, "36 km/h");
  t.equal(value("speed", "410DFF"), 70.833);
  t.equal(value("throttle", "4111FF"), 1);
  t.equal(value("fuel", "412F80"), 0.502);
  t.equal(value("coolant", "410500"), -40);
});

t.test("what is no answer to the request has no value", async (t) => {
  for (const line of ["410D", "410D3", "410D3C00", "410C3C", "7F010D12", "410D3C<RXERROR", "NODATA", "410DXY", ""]) {
    t.equal(answerOf([line], "0D", 1), undefined, line);
  }
  t.same(answerOf(["410C0000", "410D3C", "410D00"], "0D", 1), [0x3c], "the first that is one");
});

t.test("the vehicle's bit maps say what it has, those of several control units together", async (t) => {
  // BE 1F B8 10 of the data sheet: 01, 03 to 07, 0C to 11, 13 to 15 and 1C.
  const codes = "01 03 04 05 06 07 0C 0D 0E 0F 10 11 13 14 15 1C".split(" ");
  t.same([...supportedIn(["4100BE1FB810"], "00")], codes);
  t.ok(supportedIn(["4100BE3EB811", "410080108000"], "00").has("20"));
  t.same([...supportedIn(["412000020000"], "20")], ["2F"]);
  t.equal(supportedIn(["4100BE1F", "NODATA"], "00").size, 0);
});

t.test("whoever is due for the longest is next; late ones are not caught up with", async (t) => {
  const turns = createTurns([{ periodMs: 100 }, { periodMs: 1000 }], 0);
  t.equal(turns.next(0)?.periodMs, 100);
  t.equal(turns.next(0)?.periodMs, 1000);
  t.equal(turns.next(50), undefined);
  t.equal(turns.dueMs(), 100);
  t.equal(turns.next(570)?.periodMs, 100);
  t.equal(turns.next(570)?.periodMs, 100, "is due now, as it is late");
  t.equal(turns.dueMs(), 670);
  const none = createTurns<{ readonly periodMs: number }>([], 0);
  t.equal(none.next(0), undefined);
  t.equal(none.dueMs(), Infinity);
});

const vehicle = async (options: Readonly<Record<string, unknown>> = {}) => {
  const context = createFakeDeviceContext({ id: "obd" });
  const instrument = createSimElm327();
  instrument.answer("00", "4100BE1FB811");
  instrument.answer("20", "412000020000");
  instrument.answer("0D", "410D24");
  instrument.answer("0C", "410C1AF8");
  instrument.answer("11", "411133");
  instrument.answer("05", "41057B");
  instrument.answer("2F", "412F80");
  const world = context.board.world.serial(PATH);
  world.attach(instrument);
  const device = await openDevice(elm327Driver, context, { path: PATH, ...options });
  return { context, clock: context.clock, instrument, world, device, latest: context.latest };
};

function count(context: FakeDeviceContext, name: string): number {
  return context.published.filter((text) => text.startsWith(`obd.${name}=`)).length;
}

t.test("a vehicle's figures are asked for as often as declared", async (t) => {
  const { context, clock, instrument, device, latest } = await vehicle();
  await clock.advance(1000);
  t.same(instrument.commands.slice(0, 8), ["ATZ", "ATE0", "ATL0", "ATS0", "ATH0", "ATSP0", "0100", "0120"]);
  await clock.advance(10_000);
  t.same(Object.fromEntries(latest), {
    connected: true,
    speed_mps: 10,
    rpm: 1726,
    throttle_ratio: 0.2,
    coolant_c: 83,
    fuel_ratio: 0.502,
  });
  const speeds = count(context, "speed_mps");
  t.ok(speeds >= 45 && speeds <= 55, `${speeds} speeds in ten seconds`);
  t.ok(count(context, "coolant_c") <= 4);
  t.match(await callDevice(device, "state"), { connected: true, refused: 0, latest: { speed: 10 } });
  await device.close();
  t.equal(clock.pending(), 0);
});

t.test("what the vehicle does not have, or nobody wants, is not asked for", async (t) => {
  const { clock, instrument, device, latest } = await vehicle({ ratesHz: { throttle: 0 } });
  instrument.answer("00", "4100BE1FB810");
  await clock.advance(12_000);
  t.notOk(instrument.commands.includes("0120"));
  t.notOk(instrument.commands.includes("012F"));
  t.notOk(instrument.commands.includes("0111"));
  t.same([...latest.keys()].sort(), ["connected", "coolant_c", "rpm", "speed_mps"]);
  await device.close();
});

t.test("no reply that is none becomes a value, whatever it says", async (t) => {
  const { context, clock, instrument, device } = await vehicle({ ratesHz: { rpm: 0, throttle: 0, coolant: 0, fuel: 0 } });
  await clock.advance(2000);
  for (const text of [
    "NO DATA\r",
    "410D\r",
    "STOPPED\r",
    "410C24\r",
    "410D24<DATA ERROR\r",
    "CAN ERROR\r",
    "BUFFER FULL\r",
    "?\r",
    "7F0112\r",
  ]) {
    instrument.say("010D", text);
    await clock.advance(240);
    const before = count(context, "speed_mps");
    await clock.advance(400);
    t.equal(count(context, "speed_mps"), before, text.trim());
    instrument.say("010D", undefined);
    await clock.advance(600);
    t.ok(count(context, "speed_mps") > before, "and goes on after it");
  }
  t.match(await callDevice(device, "state"), { connected: true });
  t.same(context.faults, []);
  await device.close();
});

t.test("ignition off: no values, not connected; on again: both", async (t) => {
  const { context, clock, instrument, device, latest } = await vehicle({ retryMs: 1000 });
  await clock.advance(2000);
  instrument.ignition(false);
  await clock.advance(100);
  const before = count(context, "speed_mps");
  await clock.advance(10_000);
  t.equal(count(context, "speed_mps"), before);
  t.equal(latest.get("connected"), false);
  t.match(await callDevice(device, "state"), { lastError: "UNABLETOCONNECT" });
  instrument.ignition(true);
  await clock.advance(3000);
  t.equal(latest.get("connected"), true);
  t.ok(count(context, "speed_mps") > before);
  await device.close();
});

t.test("an adapter that began anew is set up anew; one without replies is opened again", async (t) => {
  const { clock, instrument, world, device, latest } = await vehicle();
  await clock.advance(2000);
  instrument.say("010D", "LV RESET\r");
  await clock.advance(300);
  instrument.say("010D", undefined);
  await clock.advance(2000);
  t.equal(instrument.commands.filter((command) => command === "ATZ").length, 2);
  t.equal(latest.get("connected"), true);
  t.equal(world.opens(), 1);
  world.hang();
  await clock.advance(2500);
  t.equal(latest.get("connected"), false);
  await clock.advance(3000);
  t.equal(world.opens(), 2);
  t.equal(latest.get("connected"), true);
  await device.close();
});

t.test("an adapter that was at work when it is opened is set up all the same", async (t) => {
  const { clock, instrument, world, device, latest } = await vehicle();
  instrument.say("ATZ", "STOPPED\r");
  await clock.advance(1000);
  instrument.say("ATZ", undefined);
  await clock.advance(2000);
  t.equal(latest.get("connected"), true);
  t.equal(world.opens(), 1);
  await device.close();
});

t.test("a plug pulled after any byte: values as they were answered, and again when it is back", async (t) => {
  const { context, clock, world, device, latest } = await vehicle({ singleReply: true });
  for (let bytes = 1; bytes < 150; bytes++) {
    world.unplugAfter(bytes);
    for (let waits = 0; world.isOpen() && waits < 500; waits++) await clock.advance(20);
    t.equal(latest.get("connected"), false, `after ${bytes} bytes`);
    world.plug();
    for (let waits = 0; latest.get("connected") !== true && waits < 1000; waits++) await clock.advance(20);
  }
  t.equal(latest.get("connected"), true);
  const strange = context.published.filter((text) => !/=(true|false|10|1726|0\.2|83|0\.502)$/.test(text));
  t.same(strange, []);
  t.same(context.faults, []);
  await device.close();
});

t.test("garbage on the line: nothing invented, and values again", async (t) => {
  const { context, clock, world, device, latest } = await vehicle();
  await clock.advance(1500);
  let seed = 7;
  world.alter((bytes) => bytes.map((byte) => ((seed = (seed * 16_807) % 2_147_483_647) % 3 === 0 ? seed & 0x7f : byte)));
  await clock.advance(20_000);
  world.alter(undefined);
  const before = count(context, "speed_mps");
  await clock.advance(30_000);
  t.equal(latest.get("connected"), true);
  t.ok(count(context, "speed_mps") > before);
  t.same(context.faults, []);
  await device.close();
});

t.test("the speed is what a vehicle's interlocks read, and no longer than it is fresh", async (t) => {
  const { context, clock, instrument, device } = await vehicle();
  const variables = createVariableStore({ clock, declared: {}, limits: limitsSchema.parse({}), defaultStaleMs: 1000 });
  await device.close();
  const world = context.board.world.serial(PATH);
  const own = {
    ...context,
    publish: (name: string, value: number | boolean, freshMs?: number) => variables.set(`obd.${name}`, value, "obd", freshMs),
  };
  const again = await openDevice(elm327Driver, own, { path: PATH });
  const speed = () => readSpeed({ variable: (name) => variables.get(name) }, "obd.speed_mps", 1000);
  t.same(speed(), { fresh: false, speedMps: undefined });
  await clock.advance(2000);
  t.same(speed(), { fresh: true, speedMps: 10 });
  instrument.answer("0D", "410D00");
  await clock.advance(500);
  t.same(speed(), { fresh: true, speedMps: 0 });
  world.unplug();
  await clock.advance(700);
  t.same(speed(), { fresh: false, speedMps: undefined }, "three periods after the last answer it is not known");
  await again.close();
});

t.test("options that make no sense are refused", async (t) => {
  t.match(optionErrors(elm327Driver, { path: PATH, protocol: "Z" }).join(), /one of 0 to 9/);
  t.match(optionErrors(elm327Driver, { path: PATH, ratesHz: { speed: 100 } }).join(), /ratesHz.speed/);
  t.match(optionErrors(elm327Driver, { path: PATH, silentMs: 1 }).join(), /silentMs/);
});
