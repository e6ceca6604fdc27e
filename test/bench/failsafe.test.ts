import t from "tap";

import { changesOf } from "../../bench/campaigns/failsafe/kernel-trace.ts";
import { firstSafe, safeSince } from "../../bench/campaigns/failsafe/changes.ts";
import { framesIn, portChanges } from "../../bench/campaigns/failsafe/sim-log.ts";
import { framesOf } from "../../bench/campaigns/failsafe/can-log.ts";
import { pedalChanges } from "../../bench/campaigns/failsafe/pedal-frames.ts";
import { answerReader } from "../../bench/campaigns/failsafe/orders.ts";

const changes = (...pairs: readonly (readonly [number, number])[]) => pairs.map(([atMs, value]) => ({ atMs, value }));

t.test("a port is safe since the last time it became so", async (t) => {
  t.equal(safeSince(changes([1, 5], [12, 0]), 10), 12);
  t.equal(safeSince(changes([1, 5], [12, 0], [13, 0]), 10), 12, "once more changes nothing");
  t.equal(safeSince(changes([1, 5], [12, 0], [13, 4], [20, 0]), 10), 20, "it was not safe in between");
  t.equal(safeSince(changes([1, 5], [12, 0], [13, 4]), 10), Infinity);
  t.equal(safeSince(changes([1, 5]), 10), Infinity, "never");
});

t.test("a port that was not driven tells nothing", async (t) => {
  t.equal(safeSince([], 10), undefined);
  t.equal(safeSince(changes([1, 0]), 10), undefined);
  t.equal(safeSince(changes([1, 5], [9, 0]), 10), undefined);
  t.equal(firstSafe(changes([1, 5], [9, 0]), 10), undefined);
});

t.test("what builds up counts from its beginning", async (t) => {
  t.equal(firstSafe(changes([1, 1], [12, 0], [13, 1], [20, 0]), 10), 12);
  t.equal(firstSafe(changes([1, 1]), 10), Infinity);
});

t.test("pedals are read from the agent's own frames, by the kernel's time", async (t) => {
  const log = "(1700000000.250000) vcan0 200#50001103\n(1700000000.260500) vcan0 7FE#50\n(1700000000.270000) vcan0 200#00061203\n(17000";
  const frames = framesOf(log, 1_700_000_000_000);
  t.strictSame(
    frames.map(({ atMs, text }) => `${atMs.toFixed(1)} ${text}`),
    ["250.0 200#50001103", "260.5 7FE#50", "270.0 200#00061203"],
  );
  t.strictSame(
    pedalChanges(frames, "accelerator").map(({ value }) => value),
    [0x50, 0],
  );
  t.strictSame(
    pedalChanges(frames, "brake").map(({ value }) => value),
    [1, 0],
    "it is safe when it is pressed",
  );
});

t.test("the meter's log tells ports apart, whoever wrote", async (t) => {
  const log = "5.5 10 line:GPIO17 1\n6 10 pwm:1 0.25\n7.25 11 line:GPIO17 0\n8 11 can 200#0006\n9 11 line:GP";
  t.strictSame(portChanges(log, "line:GPIO17"), changes([5.5, 1], [7.25, 0]));
  t.strictSame(portChanges(log, "pwm:1"), changes([6, 0.25]));
  t.strictSame(framesIn(log), [{ atMs: 8, text: "200#0006" }]);
});

t.test("the kernel's events say what became of lines and channels", async (t) => {
  const trace = [
    "  node-70 [000] ..... 12.500000: gpio_value: 529 set 1",
    "  node-70 [000] ..... 12.600000: gpio_value: 530 set 1",
    "  node-70 [000] ..... 12.700000: gpio_value: 529 set 0",
    "  node-70 [000] ..... 12.800000: smbus_write: i2c-0 a=041 f=0000 c=6 I2C_BLOCK_DATA l=5 [04-00-00-33-01]",
    "  node-70 [000] ..... 12.900000: smbus_write: i2c-0 a=041 f=0000 c=fd BYTE_DATA l=1 [10]",
  ].join("\n");
  t.strictSame(changesOf(trace, { kind: "line", number: 529 }), changes([12_500, 1], [12_700, 0]));
  t.strictSame(changesOf(trace, { kind: "channel", address: 0x41, channel: 0 }), changes([12_800, 0x133], [12_900, 0]));
  t.strictSame(changesOf(trace, { kind: "channel", address: 0x40, channel: 0 }), []);
});

t.test("what a bit of a chip's register was given is in the trace of its bus, by itself or in a block", async (t) => {
  const trace = [
    "  node-70 [000] ..... 12.500000: smbus_write: i2c-0 a=020 f=0000 c=1 BYTE_DATA l=1 [04]",
    "  node-70 [000] ..... 12.600000: smbus_write: i2c-0 a=020 f=0000 c=3 BYTE_DATA l=1 [00]",
    "  node-70 [000] ..... 12.700000: smbus_write: i2c-0 a=021 f=0000 c=1 BYTE_DATA l=1 [00]",
    "  node-70 [000] ..... 12.800000: smbus_write: i2c-0 a=020 f=0000 c=0 I2C_BLOCK_DATA l=3 [02-ff-08]",
  ].join("\n");
  t.strictSame(changesOf(trace, { kind: "bit", address: 0x20, register: 1, bit: 2 }), changes([12_500, 1], [12_800, 0]));
  t.strictSame(changesOf(trace, { kind: "bit", address: 0x20, register: 1, bit: 3 }), changes([12_500, 0], [12_800, 1]));
});

t.test("answers are told apart in whatever pieces they come", async (t) => {
  const stream = "$2\r\n30\r\n-NOT_READY car is disarmed\r\n:1\r\n+OK\r\n";
  for (let cut = 0; cut <= stream.length; cut++) {
    const answers: string[] = [];
    const read = answerReader((first) => answers.push(first));
    read(stream.slice(0, cut));
    read(stream.slice(cut));
    t.strictSame(answers, ["$2", "-NOT_READY car is disarmed", ":1", "+OK"]);
  }
});
