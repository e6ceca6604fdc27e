import fc from "fast-check";
import t from "tap";

import { callDevice, createFakeDeviceContext, openDevice, optionErrors } from "../../helpers/fake-device-context.ts";
import { createSimModbus, modbusFrame } from "../../../drivers/board/sim/instruments/modbus.ts";
import { expectCode } from "../../contract/board.ts";
import { findReply, modbusCrc, readRequest, writeCoilRequest, writeRegistersRequest } from "../../../drivers/serial/modbus-frames.ts";
import { modbusRtuDriver } from "../../../drivers/serial/modbus-rtu.ts";
import { registerSchema, valueOf, writeRequestOf } from "../../../drivers/serial/modbus-values.ts";

const PATH = "/dev/serial/by-id/usb-FTDI_RS485-if00";

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(" ", ""), "hex");
}

/** The examples of simplymodbus.ca ("Modbus RTU frames", FC01 to FC16), whose requests are those of Modicon's PI-MBUS-300, each with its own CRC. */
const EXAMPLES = [
  {
    request: readRequest(0x11, 1, 0x13, 0x25),
    sent: "11 01 00 13 00 25 0E 84",
    reply: "11 01 05 CD 6B B2 0E 1B 45 E6",
    data: "CD 6B B2 0E 1B",
  },
  { request: readRequest(0x11, 2, 0xc4, 0x16), sent: "11 02 00 C4 00 16 BA A9", reply: "11 02 03 AC DB 35 20 18", data: "AC DB 35" },
  {
    request: readRequest(0x11, 3, 0x6b, 3),
    sent: "11 03 00 6B 00 03 76 87",
    reply: "11 03 06 AE 41 56 52 43 40 49 AD",
    data: "AE 41 56 52 43 40",
  },
  { request: readRequest(0x11, 4, 8, 1), sent: "11 04 00 08 00 01 B2 98", reply: "11 04 02 00 0A F8 F4", data: "00 0A" },
  { request: writeCoilRequest(0x11, 0xac, true), sent: "11 05 00 AC FF 00 4E 8B", reply: "11 05 00 AC FF 00 4E 8B", data: "00 AC FF 00" },
  { request: writeRegistersRequest(0x11, 1, [3]), sent: "11 06 00 01 00 03 9A 9B", reply: "11 06 00 01 00 03 9A 9B", data: "00 01 00 03" },
  {
    request: writeRegistersRequest(0x11, 1, [0x0a, 0x0102]),
    sent: "11 10 00 01 00 02 04 00 0A 01 02 C6 F0",
    reply: "11 10 00 01 00 02 12 98",
    data: "00 01 00 02",
  },
] as const;

t.test("requests and replies are those of the published examples", (t) => {
  for (const { request, sent, reply, data } of EXAMPLES) {
    t.same(Buffer.from(request.frame), hex(sent), sent);
    const bytes = hex(reply);
    t.same(findReply(request, bytes, bytes.length), { data: new Uint8Array(hex(data)) }, reply);
    for (let length = 0; length < bytes.length; length++) t.equal(findReply(request, bytes, length), undefined, "not before it is whole");
  }
  const refused = hex("0A 81 02 B0 53");
  t.same(findReply(readRequest(0x0a, 1, 0x4a1, 1), refused, refused.length), { exception: 2 });
  t.equal(modbusCrc(hex("02 07"), 0, 2), 0x1241, "the example of the CRC's description");
  t.end();
});

t.test("a damaged reply, another unit's and another request's are no replies; noise before one does not hide it", (t) => {
  const { request, reply, data } = EXAMPLES[2];
  const bytes = hex(reply);
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const damaged = Uint8Array.from(bytes);
      damaged[at] = (damaged[at] as number) ^ change;
      return findReply(request, damaged, damaged.length) === undefined;
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (noise) => {
      const found = findReply(request, Buffer.concat([noise, bytes]), noise.length + bytes.length);
      return found !== undefined && "data" in found && Buffer.compare(found.data, hex(data)) === 0;
    }),
  );
  t.equal(findReply(readRequest(0x12, 3, 0x6b, 3), bytes, bytes.length), undefined);
  t.equal(findReply(readRequest(0x11, 4, 0x6b, 3), bytes, bytes.length), undefined);
  t.equal(findReply(readRequest(0x11, 3, 0x6b, 2), bytes, bytes.length), undefined);
  const echo = hex(EXAMPLES[5].reply);
  t.equal(findReply(writeRegistersRequest(0x11, 1, [4]), echo, echo.length), undefined, "the echo of another value");
  t.end();
});

t.test("values are what their type, word order, scale, offset and range say, both ways", (t) => {
  const cases: readonly (readonly [Record<string, unknown>, string, number | undefined])[] = [
    [{ type: "u16" }, "FF FE", 65_534],
    [{ type: "i16" }, "FF FE", -2],
    [{ type: "i16", scale: 0.5, offset: 10 }, "FF FE", 9],
    [{ type: "u32" }, "FF FF FF FE", 4_294_967_294],
    [{ type: "i32" }, "FF FF FF FE", -2],
    [{ type: "i32", wordOrder: "low-first" }, "FF FE FF FF", -2],
    [{ type: "f32" }, "41 48 00 00", 12.5],
    [{ type: "f32", wordOrder: "low-first" }, "00 00 41 48", 12.5],
    [{ type: "f32" }, "7F C0 00 00", undefined],
    [{ type: "f32" }, "7F 80 00 00", undefined],
    [{ type: "u16", range: [0, 100] }, "00 65", undefined],
  ];
  for (const [options, data, value] of cases) {
    const register = registerSchema.parse({ kind: "holding", address: 5, ...options });
    t.equal(valueOf(register, hex(data)), value, JSON.stringify(options));
    if (value === undefined) continue;
    const words = Array.from({ length: hex(data).length / 2 }, (_, i) => hex(data).readUInt16BE(i * 2));
    t.same(writeRequestOf("x", register, value).frame, writeRegistersRequest(1, 5, words).frame, `${value} back`);
  }
  const small = registerSchema.parse({ kind: "holding", address: 5, type: "i16", scale: 0.1 });
  t.throws(() => writeRequestOf("x", small, 4000), { code: "LIMIT", message: "x: 4000 makes 40000, and i16 holds -32768 to 32767" });
  t.throws(() => writeRequestOf("x", small, true), { code: "ARGUMENT" });
  t.throws(() => writeRequestOf("x", small, Number.NaN), { code: "LIMIT" });
  t.end();
});

t.test("options that cannot work say why", (t) => {
  function errors(register: Record<string, unknown>): string {
    return optionErrors(modbusRtuDriver, { path: PATH, registers: { speed: { kind: "holding", address: 1, ...register } } }).join("; ");
  }
  t.equal(errors({}), "");
  t.match(errors({ type: "bool" }), /coils and discrete inputs are bool/);
  t.match(errors({ kind: "coil" }), /coils and discrete inputs are bool/);
  t.match(errors({ range: [2, 1] }), /lowest value comes first/);
  t.match(errors({ write: true, range: [0, 1] }), /needs a safe value/);
  t.match(errors({ write: true, safe: 1 }), /needs a range/);
  t.match(errors({ write: true, safe: 3, range: [0, 1] }), /outside of the range/);
  t.match(errors({ write: true, safe: true, range: [0, 1] }), /a bool for a coil/);
  t.match(errors({ kind: "input", write: true, safe: 0, range: [0, 1] }), /inputs cannot be written/);
  t.match(errors({ safe: 0 }), /only what may be written/);
  t.match(errors({ scale: 0 }), /leaves nothing/);
  t.match(optionErrors(modbusRtuDriver, { path: PATH, registers: {} }).join(), /0 registers/);
  t.match(optionErrors(modbusRtuDriver, { path: PATH, registers: { status: { kind: "input", address: 0 } } }).join(), /take another/);
  t.end();
});

const REGISTERS = {
  temperature: { unitId: 1, kind: "input", address: 0, type: "i16", scale: 0.1, unit: "°C", range: [-40, 85], pollMs: 100 },
  speed: { unitId: 1, kind: "holding", address: 10, range: [0, 3000], unit: "rpm", write: true, safe: 0, pollMs: 0 },
  valve: { unitId: 2, kind: "coil", address: 3, type: "bool", write: true, safe: false, pollMs: 0 },
  setpoint: { unitId: 2, kind: "holding", address: 4, type: "f32", range: [5, 30], write: true, safe: "keep", pollMs: 0 },
};

async function openModbus(options: Readonly<Record<string, unknown>> = {}) {
  const context = createFakeDeviceContext({ id: "plant" });
  const world = context.board.world.serial(PATH);
  const line = createSimModbus();
  for (const [place, value] of Object.entries({
    "1/input/0": 215,
    "1/holding/10": 700,
    "2/coil/3": 1,
    "2/holding/4": 0x41a0,
    "2/holding/5": 0,
  })) {
    line.values.set(place, value);
  }
  world.attach(line);
  const device = await openDevice(modbusRtuDriver, context, { path: PATH, registers: REGISTERS, retryMinMs: 10, ...options });
  /** Calls while time goes on. */
  async function call(name: string, args: Readonly<Record<string, unknown>> = {}) {
    const answer = Promise.resolve(callDevice(device, name, args)).then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    await context.clock.advance(3000);
    const settled = await answer;
    if ("error" in settled) throw settled.error;
    return settled.value;
  }
  return { context, world, line, device, call };
}

t.test("opening writes the safe values, polling publishes, calls read and write", async (t) => {
  const { context, line, device, call } = await openModbus();
  await context.clock.advance(500);
  t.same([line.values.get("1/holding/10"), line.values.get("2/coil/3"), line.values.get("2/holding/4")], [0, 0, 0x41a0]);
  t.equal(context.latest.get("temperature"), 21.5);
  t.equal(context.latest.get("ok"), true);
  line.values.set("1/input/0", 0xffff);
  await context.clock.advance(200);
  t.equal(context.latest.get("temperature"), -0.1);
  t.equal(await call("set_speed", { value: 1200 }), 1200);
  t.equal(await call("speed"), 1200);
  t.equal(await call("set_valve", { value: true }), true);
  t.equal(await call("valve"), true);
  t.equal(await call("set_setpoint", { value: 12.5 }), 12.5);
  t.equal(await call("setpoint"), 12.5);
  t.throws(() => callDevice(device, "set_speed", { value: 3001 }));
  t.throws(() => callDevice(device, "set_speed", { value: true }));
  const made = device.failsafe?.("safe");
  await context.clock.advance(100);
  await made;
  t.same([line.values.get("1/holding/10"), line.values.get("2/coil/3")], [0, 0]);
  t.equal(await call("setpoint"), 12.5, "what moves nothing is kept");
  t.same(context.faults, []);
  await device.close();
  t.equal(context.clock.pending(), 0);
});

t.test("what is written is seen at once, as the instrument has it, and only what is polled", async (t) => {
  const slow = { ...REGISTERS.speed, pollMs: 60_000 };
  const { context, device, line } = await openModbus({ registers: { speed: slow, valve: REGISTERS.valve } });
  await context.clock.advance(500);
  const set = async (name: string, value: number | boolean) => {
    const done = callDevice(device, `set_${name}`, { value });
    await context.clock.advance(200);
    await done;
  };
  await set("speed", 1200);
  t.equal(context.latest.get("speed"), 1200);
  await set("valve", true);
  t.notOk(context.latest.has("valve"));
  const asked = line.requests();
  await set("speed", 1200);
  t.equal(line.requests(), asked + 1, "an order that is repeated is not read each time");
  const made = device.failsafe?.("safe");
  await context.clock.advance(200);
  await made;
  t.equal(context.latest.get("speed"), 0, "and so is what makes it safe");
  await device.close();
});

t.test("what an instrument refuses is named; silence and damage are counted and publish nothing", async (t) => {
  const { context, world, line, device, call } = await openModbus({ silentMs: 0 });
  await context.clock.advance(500);
  line.setException(2);
  await expectCode(t, "ARGUMENT", ["plant", "illegal data address"], () => call("set_speed", { value: 1 }));
  line.setException(4);
  await expectCode(t, "IO", ["server device failure"], () => call("set_speed", { value: 1 }));
  await expectCode(t, "NOT_READY", ["server device failure"], () => call("speed"));
  line.setException(0);
  line.setMute(true);
  await expectCode(t, "TIMEOUT", ["unit 1", "500 ms"], () => call("set_speed", { value: 1 }));
  t.equal(context.latest.get("ok"), false);
  line.setMute(false);
  const before = context.published.length;
  world.alter((bytes) => bytes.map((byte, i) => (i === 3 ? byte ^ 0x10 : byte)));
  await context.clock.advance(3000);
  t.same(context.published.slice(before), []);
  const { crcErrors, timeouts } = (await call("status")) as { crcErrors: number; timeouts: number };
  t.ok(crcErrors > 0 && timeouts > 0);
  world.alter(undefined);
  line.values.set("1/input/0", 900);
  await context.clock.advance(2000);
  t.equal(context.published.filter((text) => text === "plant.temperature=90").length, 0, "outside of its range");
  t.match(await call("status"), { failed: { temperature: /outside of its range/ } });
  line.values.set("1/input/0", 200);
  await context.clock.advance(2000);
  t.equal(context.latest.get("ok"), true);
  await device.close();
});

t.test("a reply that is late does not pass for the next one's", async (t) => {
  const { context, world, line, device } = await openModbus({ timeoutMs: 50, silentMs: 0 });
  await context.clock.advance(500);
  line.setMute(true);
  await context.clock.advance(160);
  const before = context.published.length;
  world.send(modbusFrame([1, 4, 2, 0, 99]));
  await context.clock.advance(40);
  t.notOk(context.published.slice(before).includes("plant.temperature=9.9"), "no request was waiting for it");
  await device.close();
});

t.test("being made safe goes before what waits, and the port's return makes safe again", async (t) => {
  const { context, world, line, device } = await openModbus();
  await context.clock.advance(550);
  const refused = [1, 2, 3].map((value) =>
    Promise.resolve(callDevice(device, "set_speed", { value })).then(
      () => "written",
      (error: unknown) => (error as Error).message,
    ),
  );
  const safe = device.failsafe?.("off");
  await context.clock.advance(100);
  await safe;
  t.match(await Promise.all(refused), ["written", /made safe before/, /made safe before/]);
  t.equal(line.values.get("1/holding/10"), 0);
  world.unplug();
  await expectCode(t, "NOT_READY", [PATH], async () => device.failsafe?.("safe"));
  line.values.set("1/holding/10", 900);
  line.values.set("2/coil/3", 1);
  world.plug();
  await context.clock.advance(1000);
  t.same([line.values.get("1/holding/10"), line.values.get("2/coil/3")], [0, 0]);
  t.same(context.faults, []);
  line.setMute(true);
  world.unplug();
  world.plug();
  await context.clock.advance(3000);
  t.match(context.faults, [/could not be made safe/], "an instrument that cannot be made safe is a fault");
  await device.close();
});
