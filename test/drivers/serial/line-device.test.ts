import fc from "fast-check";
import t from "tap";

import { callDevice, createFakeDeviceContext, openDevice, optionErrors } from "../../helpers/fake-device-context.ts";
import { createSimLineInstrument, type SimLineOptions } from "../../../drivers/board/sim/instruments/line.ts";
import { expectCode } from "../../contract/board.ts";
import { lineDeviceDriver } from "../../../drivers/serial/line-device.ts";
import { linePattern } from "../../../drivers/serial/line-patterns.ts";

const PATH = "/dev/ttyACM0";

t.test("patterns that could take long are refused with the reason, others are for whole lines", (t) => {
  for (const [pattern, reason] of [
    ["(a+)+b", /a group is repeated/],
    ["(a|a)*b", /a group is repeated/],
    ["(?:a){2,}", /a group is repeated/],
    [".*.*.*x", /3 parts of changing length \(\.\*, \.\*, \.\*\)/],
    [String.raw`\d+\d+\d+\d`, /3 parts of changing length/],
    ["a?a?a?aaa", /3 parts of changing length/],
    ["(?=a)b", /looks ahead/],
    ["(?<!a)b", /looks ahead or behind/],
    [String.raw`(?<x>a)\1`, /not possible/],
    [String.raw`(?<x>a)\k<x>`, /not possible/],
    ["^a$", /without \^ and \$/],
    ["(a", /not closed/],
    ["a)", /not opened/],
    ["a|b|c|d|e|f|g|h", /7 alternatives/],
    ["(a)?(a)?(a)?(a)?(a)?(a)?(a)?", /7 alternatives/],
    ["a".repeat(301), /301 characters/],
    ["*", /not possible/],
    ["a{2", /not possible/],
  ] as const) {
    t.throws(() => linePattern(pattern), { name: "RangeError", message: reason }, pattern);
  }
  const reading = linePattern(String.raw`T=(?<t>-?\d+\.\d+) ?H=(?<h>\d{1,3})%.*`);
  t.same({ ...reading.exec("T=-3.50 H=45% ok")?.groups }, { t: "-3.50", h: "45" });
  t.equal(reading.exec("xT=3.5 H=45%"), null, "a whole line");
  t.same({ ...linePattern(String.raw`(?<v>[+-]?\d*\.?\d+)(?:V|mV)?`).exec("+1.25V")?.groups }, { v: "+1.25" });
  t.same(
    { ...linePattern(String.raw`\$(?<a>[^,]*),(?<b>[^,]*),(?<c>[^,]*),(?<d>\w+)`).exec("$1,,x y,z")?.groups },
    { a: "1", b: "", c: "x y", d: "z" },
  );
  t.end();
});

/** What has to be tried at worst, counted by trying: every way an atom of changing length can end. */
t.test("what is accepted fits as JavaScript's own pattern does, and what is refused never compiles by accident", (t) => {
  const piece = fc.constantFrom(
    "a",
    "b",
    ".",
    String.raw`\d`,
    "[ab]",
    "[^a]",
    "a*",
    "b+",
    ".*",
    "a?",
    "(a|b)",
    "(?<n>a)",
    "(a+)",
    "(a*)*",
    "(?:ab)?",
    "a{1,3}",
  );
  let accepted = 0;
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), fc.array(fc.constantFrom("a", "b", "1"), { maxLength: 12 }), (pieces, line) => {
      const pattern = pieces.join("");
      const text = line.join("");
      let compiled: RegExp;
      try {
        compiled = linePattern(pattern);
      } catch (thrown) {
        return thrown instanceof RangeError || thrown instanceof SyntaxError;
      }
      accepted += 1;
      return !/\)[*+{]/.test(pattern) && compiled.test(text) === new RegExp(`^(?:${pattern})$`, "s").test(text);
    }),
  );
  t.ok(accepted > 10, "some are accepted");
  t.end();
});

t.test("options that do not fit together say so", (t) => {
  const errors = (options: Record<string, unknown>): string => optionErrors(lineDeviceDriver, { path: PATH, ...options }).join("; ");
  t.equal(errors({}), "");
  t.match(errors({ lines: ["(a+)+"] }), /this pattern is not possible: a group is repeated/);
  t.match(errors({ lines: ["(?<t>x)"] }), /say what these groups are: t/);
  t.match(errors({ commands: { go: { send: "GO", effect: "actuate" } } }), /lines that make safe/);
  t.equal(errors({ commands: { go: { send: "GO", effect: "actuate" } }, safe: [] }), "");
  t.match(errors({ commands: { go: { send: "GO {x}", effect: "read" } } }), /x: in send or in params only/);
  t.match(errors({ commands: { go: { send: "GO", effect: "actuate", pollMs: 5 } }, safe: [] }), /only what reads/);
  t.match(errors({ commands: { go: { send: "GO\nOFF", effect: "read" } } }), /characters that print/);
  t.match(errors({ commands: { status: { send: "GO", effect: "read" } } }), /take another name/);
  t.end();
});

async function openLine(options: Readonly<Record<string, unknown>>, instrumentOptions: SimLineOptions = {}) {
  const context = createFakeDeviceContext({ id: "meter" });
  const world = context.board.world.serial(PATH);
  const instrument = createSimLineInstrument(instrumentOptions);
  world.attach(instrument);
  const device = await openDevice(lineDeviceDriver, context, { path: PATH, retryMinMs: 10, silentMs: 0, ...options });
  await context.clock.advance(0);
  return { context, world, instrument, device };
}

const WEATHER = {
  lines: [String.raw`T=(?<temperature>-?\d+\.\d) H=(?<humidity>\d+)`, String.raw`NAME (?<name>\w+)`],
  values: { temperature: { unit: "°C", range: [-40, 85] }, humidity: { scale: 0.01, range: [0, 1] }, name: { type: "text" } },
};

t.test("values come out of the lines an instrument sends, and only whole ones", async (t) => {
  const { context, world, instrument, device } = await openLine(WEATHER);
  world.send("5 H=40\n");
  t.same(context.published, [], "the first line may have begun before");
  world.setChunkBytes(1);
  instrument.say("T=-3.5 H=40");
  await context.clock.advance(1000);
  t.same(context.published, ["meter.temperature=-3.5", "meter.humidity=0.4"]);
  world.send("NAME west\r\nNAME two words\r\nT=99.9 H=40\nT=20.0 H=400\nnonsense\n");
  t.same(context.published.slice(2), ["meter.name=west"], "a line with a value that cannot be has none");
  world.send(`${"x".repeat(500)}\nNAME \xff\n`);
  world.send("T=1");
  world.unplug();
  world.plug();
  await context.clock.advance(20);
  world.send("0.0 H=10\nNAME back\n");
  t.same(context.published.slice(3), ["meter.name=back"], "no line is made of two halves");
  t.match(await callDevice(device, "status"), { matched: 5, ignored: 2, refusedValues: 2, port: "open" });
  await device.close();
});

const SUPPLY = {
  values: { volts: { unit: "V", range: [0, 30] } },
  timeoutMs: 100,
  commands: {
    measure: { send: "MEAS?", effect: "read", reply: String.raw`(?<volts>\d+\.\d+)`, pollMs: 1000 },
    set_volts: { send: "VOLT {volts}", effect: "actuate", params: { volts: { range: [0, 30], decimals: 2 } }, reply: "OK" },
    output: { send: "OUTP {state}", effect: "actuate", params: { state: { oneOf: ["ON", "OFF"] } } },
  },
  safe: ["OUTP OFF", "VOLT 0"],
};

t.test("a value with a command of its own is a number that is set, others are measured", (t) => {
  const entities = (over: object = {}, command: object = {}) => {
    const set = { send: "VOLT {volts}", effect: "actuate", params: { volts: { range: [0, 30], decimals: 2 } }, ...command };
    const values = { volts: { unit: "V", ...over }, amps: {} };
    const options = lineDeviceDriver.options.parse({ path: PATH, values, commands: { set_volts: set }, safe: [] });
    return lineDeviceDriver.entities?.(options) ?? [];
  };
  t.match(entities(), [
    { kind: "number", key: "volts", unit: "V", range: [0, 30], step: 0.01, calls: { set: { fn: "set_volts", takesValue: true } } },
    { kind: "sensor", key: "amps" },
  ]);
  t.match(entities({ scale: 10 }), [{ kind: "sensor" }, {}], "set in other units than it is measured in");
  t.match(entities({}, { effect: "read" }), [{ kind: "sensor" }, {}]);
  t.match(entities({}, { params: { volts: { oneOf: ["LOW", "HIGH"] } } }), [{ kind: "sensor" }, {}]);
  const two = { send: "SET {volts} {amps}", params: { volts: { range: [0, 30] }, amps: { range: [0, 3] } } };
  t.match(entities({}, two), [{ kind: "sensor" }, { kind: "sensor" }]);
  t.end();
});

t.test("commands are sent, answered and checked; being made safe sends its lines at once", async (t) => {
  let volts = 0;
  let mute = false;
  const { context, world, instrument, device } = await openLine(SUPPLY, {
    answer(line) {
      if (mute) return undefined;
      const set = /^VOLT (\d+\.\d\d)$/.exec(line);
      if (set !== null) volts = Number(set[1]);
      if (line === "MEAS?") return volts.toFixed(3);
      return set === null ? undefined : "OK";
    },
  });
  t.same(instrument.got, ["OUTP OFF", "VOLT 0"], "safe from the beginning");
  t.same(await callDevice(device, "set_volts", { volts: 12.345 }), {});
  t.equal(await callDevice(device, "output", { state: "ON" }), null);
  t.same(instrument.got.slice(2), ["VOLT 12.35", "OUTP ON"]);
  t.same(await callDevice(device, "measure"), { volts: 12.35 });
  t.equal(context.latest.get("volts"), 12.35);
  t.throws(() => callDevice(device, "set_volts", { volts: 31 }));
  t.throws(() => callDevice(device, "output", { state: "ON\nVOLT 30" }));
  volts = 7;
  await context.clock.advance(1000);
  t.equal(context.latest.get("volts"), 7, "queries are sent by themselves");
  mute = true;
  const refused = expectCode(t, "NOT_READY", ["made safe"], () => callDevice(device, "set_volts", { volts: 1 }));
  await context.clock.advance(0);
  const before = instrument.got.length;
  await device.failsafe?.("safe");
  await refused;
  await context.clock.advance(0);
  t.same(instrument.got.slice(before), ["OUTP OFF", "VOLT 0"]);
  const timedOut = expectCode(t, "TIMEOUT", ["VOLT 2.00", "100 ms"], () => callDevice(device, "set_volts", { volts: 2 }));
  await context.clock.advance(150);
  await timedOut;
  const late = expectCode(t, "NOT_READY", ["MEAS?"], () => callDevice(device, "measure"));
  world.send("29.000\n");
  await context.clock.advance(300);
  await late;
  t.equal(context.latest.get("volts"), 7, "a late reply is none");
  world.unplug();
  await expectCode(t, "NOT_READY", [PATH], async () => device.failsafe?.("safe"));
  world.plug();
  const lines = instrument.got.length;
  await context.clock.advance(20);
  t.same(instrument.got.slice(lines), ["OUTP OFF", "VOLT 0"], "safe again when the port is back");
  t.same(context.faults, []);
  await device.close();
});
