import t from "tap";
import { z } from "zod";

import {
  defineDriver,
  defineFunction,
  MOTION_LEASE,
  STILL_LEASE,
  type DeviceContext,
  type DeviceSpec,
} from "../../agent/contract/device.ts";
import { AgentError } from "../../agent/contract/errors.ts";
import { compilePermits } from "../../agent/access/permits.ts";
import { openHost, type HostOptions } from "../../agent/host/host.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { createVariableStore } from "../../analytics/store.ts";
import { createSimBoard } from "../../drivers/board/sim/sim-board.ts";
import { limitsSchema } from "../../agent/contract/limits.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import type { Caller, Reply } from "../../agent/contract/request.ts";
import type { Value } from "../../agent/contract/value.ts";

/** A driver with a port, a slow function and a switch to make it fail to open. */
function lampDriver(did: string[], opened: DeviceContext[]) {
  return defineDriver({
    name: "test-lamp",
    summary: "a lamp for tests",
    options: z.strictObject({ line: z.string(), fail: z.string().optional() }),
    moves: false,
    lease: STILL_LEASE,
    claims: ({ line }) => [`line ${line}`],
    async open(context, { line, fail }) {
      opened.push(context);
      if (fail === "early") context.fault("blown fuse");
      const output = await context.board.openOutput(context.id, { name: line }, false);
      if (fail === "once" && opened.length < 3) {
        output.close();
        throw new AgentError("NOT_READY", "the lamp is not plugged in");
      }
      const write = (level: boolean): Value => {
        output.write(level);
        context.publish("on", level);
        did.push(`${context.id} ${level ? "on" : "off"}`);
        return level;
      };
      return {
        functions: {
          on: defineFunction({ summary: "light it", params: z.object({}), effect: "actuate", call: () => write(true) }),
          dim: defineFunction({
            summary: "dim it",
            params: z.object({ percent: z.number().min(0).max(100).describe("brightness, percent") }),
            effect: "actuate",
            call: ({ percent }) => write(percent > 0),
          }),
          fade: defineFunction({
            summary: "fade slowly",
            params: z.object({}),
            effect: "actuate",
            call: () =>
              new Promise<Value>((resolve) => {
                context.clock.after(500, () => resolve("faded"));
              }),
          }),
          state: defineFunction({ summary: "whether it is lit", params: z.object({}), effect: "read", call: () => output.level() }),
          ...(context.id === "safe" && {
            unlock: defineFunction({
              summary: "a lock with a code",
              params: z.object({ percent: z.number(), code: z.string().meta({ secret: true }) }),
              effect: "actuate",
              call: () => write(true),
            }),
          }),
        },
        failsafe: () => void write(false),
        close() {
          output.close();
        },
      };
    },
  });
}

async function rig(
  devices: Record<string, { line: string; fail?: string; enabled?: boolean; group?: string; leaseMs?: number }>,
  over: Partial<HostOptions> = {},
) {
  const clock = createFakeClock();
  const journal = createJournal(clock);
  const log = createFakeLog();
  const did: string[] = [];
  const opened: DeviceContext[] = [];
  const driver = lampDriver(did, opened);
  const limits = limitsSchema.parse({ maxVariables: 3 });
  const variables = createVariableStore({ clock, limits, declared: {}, defaultStaleMs: 2000 });
  const board = createSimBoard({ clock });
  const specs: DeviceSpec[] = Object.entries(devices).map(([id, { enabled = true, group, leaseMs, ...options }]) => ({
    id,
    driver,
    options,
    policy: { enabled, onLoss: "safe", onExit: "safe", exclusive: false, callMs: 1000, leaseMs, ...(group === undefined ? {} : { group }) },
  }));
  const host = await openHost({ node: "garage", specs, board, clock, variables, journal, log, ...over });
  const caller: Caller = { name: "bench", priority: 100, maxPriority: 200, signal: new AbortController().signal };
  const ask = (line: string, by = caller) => {
    const [verb = "", ...args] = line.split(" ");
    return host.handle({ verb, args }, by);
  };
  const text = async (line: string, by = caller): Promise<string> => asText(await ask(line, by));
  return { clock, journal, log, did, host, board, variables, caller, ask, text, opened };
}

function asText(reply: Reply): string {
  if (reply.kind === "error") return `-${reply.error.code} ${reply.error.message}`;
  return reply.kind === "status" ? `+${reply.text}` : JSON.stringify(reply.value);
}

t.test("a command reaches the line, and its lease takes it back", async (t) => {
  const { clock, board, text } = await rig({ lamp: { line: "GPIO17" } });
  t.equal(await text("CLONE lamp.on"), "true");
  t.equal(board.world.level("GPIO17"), true);
  await clock.advance(2000);
  t.equal(board.world.level("GPIO17"), false);
});

t.test("device and function may be two words, and options stand before them in any order and case", async (t) => {
  const { clock, board, text } = await rig({ lamp: { line: "GPIO17" } });
  t.equal(await text("CLONE lamp on"), "true");
  t.equal(await text("CLONE priority 120 Lease 300 NODE garage seq 4 lamp dim 30"), "true");
  t.equal(await text("CLONE SEQ 4 lamp.on"), "-IN_USE lamp is held by bench with priority 120 for another 300 ms; bench asked with 100");
  await clock.advance(300);
  t.equal(board.world.level("GPIO17"), false);
  t.equal(await text("CLONE NODE any SEQ 4 lamp.on"), "-STALE lamp: command 4 of bench is not newer than 4");
});

t.test("a device is claimed for orders from afar, and a token is an option as others are", async (t) => {
  const { text, clock } = await rig({ lamp: { line: "GPIO17" } });
  const token = (answer: string) => /"token":"([^"]+)"/.exec(answer)?.[1] ?? answer;
  const first = token(await text("CLAIM lamp"));
  t.match(first, /^[0-9a-f]{12}\.1$/);
  t.equal(await text(`CLONE TOKEN ${first} SEQ 4 lamp.on`), "true");
  t.equal(await text("CLONE TOKEN none lamp.on"), "-STALE lamp: the token of bench is not the one given last; claim it again");
  t.match(await text("CLAIM LEASE 300 PRIORITY 101 lamp"), `{"token":"${first}","leaseMs":300}`);
  await clock.advance(2000);
  t.match(await text(`CLONE TOKEN ${first} lamp.on`), /^-STALE lamp: the claim of bench ended/);
  t.not(token(await text("CLAIM lamp")), first);
  t.equal(await text("CLAIM"), "-ARGUMENT CLAIM takes one device");
  t.equal(await text("CLAIM lamps"), "-UNKNOWN no device lamps (did you mean lamp?); DEVICES lists them");
  t.match(await text("CLAIM PRIORITY 255 lamp"), /^-DENIED priority 255 is above/);
  t.match(await text("CLAIM LEASE 29 lamp"), /^-LIMIT lamp: a lease of 29 ms/);
});

t.test("a device that is not open cannot be claimed", async (t) => {
  const { text } = await rig({ lamp: { line: "GPIO17", fail: "once" } });
  t.equal(await text("CLAIM lamp"), "-NOT_READY lamp is not open; DEVICES says why");
});

t.test("a bad command is refused with the thing, the value and what is expected, and changes nothing", async (t) => {
  const { did, text } = await rig({ lamp: { line: "GPIO17" } });
  for (const [line, answer] of [
    ["CLONE", "-ARGUMENT CLONE needs a function, for example CLONE lamp.on; DEVICES lists them"],
    ["CLONE LEASE 300", "-ARGUMENT CLONE needs a function after its options, for example lamp.on"],
    ["CLONE LEASE", "-ARGUMENT LEASE needs a value"],
    ["CLONE LEASE soon lamp.on", "-ARGUMENT LEASE is soon; a whole number from 1 to 9007199254740991 is expected"],
    ["CLONE LEASE 0 lamp.on", "-ARGUMENT LEASE is 0; a whole number from 1 to 9007199254740991 is expected"],
    ["CLONE PRIORITY 256 lamp.on", "-ARGUMENT PRIORITY is 256; a whole number from 0 to 255 is expected"],
    ["CLONE PRIORITY 1e2 lamp.on", "-ARGUMENT PRIORITY is 1e2; a whole number from 0 to 255 is expected"],
    ["CLONE PRIORITY 201 lamp.on", "-DENIED priority 201 is above 200, the highest bench may ask for"],
    ["CLONE NODE attic lamp.on", "-UNKNOWN no node attic is known here; this is garage"],
    ["CLONE lamp.onn", "-UNKNOWN no function lamp.onn (did you mean lamp.on?); DEVICES lists them"],
    ["CLONE lamp", "-UNKNOWN no function lamp; DEVICES lists them"],
    ["CLONE lamp.on now", "-ARGUMENT lamp.on takes no arguments, got 1"],
    ["CLONE lamp.dim 101", "-ARGUMENT lamp.dim: percent is 101; 100 or less is expected"],
    [
      "CLONE LEASE 70000 lamp.on",
      "-LIMIT lamp: a lease of 70000 ms is outside 30 to 60000 ms; repeat the command instead of asking for longer",
    ],
    ["DESCRIBE", "-ARGUMENT DESCRIBE takes one device"],
    ["DESCRIBE lmap", "-UNKNOWN no device lmap (did you mean lamp?); DEVICES lists them"],
    ["RESET lamp pump", "-ARGUMENT RESET takes one device"],
    ["ESTOP NOW", "-ARGUMENT ESTOP takes nothing or RESET, not NOW"],
    ["GET x", "-UNKNOWN the device host has no verb GET"],
  ] as const) {
    t.equal(await text(line), answer, line);
  }
  t.same(did, []);
});

t.test("a caller without a higher limit may ask for its own priority and below", async (t) => {
  const { text, caller } = await rig({ lamp: { line: "GPIO17" } });
  const rule: Caller = { name: "rule r", priority: 10, signal: caller.signal };
  t.match(await text("CLONE PRIORITY 11 lamp.on", rule), /^-DENIED/);
  t.equal(await text("CLONE PRIORITY 9 lamp.on", rule), "true");
});

t.test("a deadline that passes is answered TIMEOUT; the call goes on under its lease", async (t) => {
  const { clock, ask, text } = await rig({ lamp: { line: "GPIO17" } });
  const late = ask("CLONE DEADLINE 100 lamp.fade");
  await clock.advance(100);
  t.equal(asText(await late), "-TIMEOUT lamp.fade: no answer within the deadline of 100 ms; it may still happen");
  await clock.advance(400);
  const inTime = ask("CLONE DEADLINE 600 lamp.fade");
  await clock.advance(500);
  t.equal(asText(await inTime), '"faded"');
  t.equal(await text("CLONE DEADLINE 1 lamp.on"), "true", "what answers at once has no deadline to miss");
});

t.test("reading needs no lease and is answered while faulted or stopped", async (t) => {
  const { host, text, board } = await rig({ lamp: { line: "GPIO17" } });
  board.world.failNth("write", 1);
  t.match(await text("CLONE lamp.on"), /^-IO lamp on: .*; RESET lamp clears the fault$/);
  t.equal(await text("CLONE lamp.state"), "false");
  t.match(await text("CLONE lamp.on"), /^-FAULTED/);
  t.equal(await text("RESET lamp"), "+OK");
  t.equal(await text("CLONE lamp.on"), "true");
  t.equal(await text("ESTOP"), "+OK");
  t.match(await text("CLONE lamp.on"), /^-FAULTED lamp: e-stop is latched by bench/);
  t.equal(await text("ESTOP reset"), "+OK");
  await host.stop();
  t.match(await text("CLONE lamp.on"), /^-NOT_READY/);
});

t.test("devices are opened, skipped or failed, each with its reason; one does not keep the others from working", async (t) => {
  const { host, text, log } = await rig({
    lamp: { line: "GPIO17" },
    twin: { line: "GPIO17" },
    spare: { line: "GPIO4", enabled: false },
    lost: { line: "GPIO99" },
  });
  t.same(
    host.entries().map(({ spec, outcome, reason }) => [spec.id, outcome, reason?.split(" ")[0]]),
    [
      ["lamp", "opened", undefined],
      ["twin", "failed", "IN_USE"],
      ["spare", "skipped", "enabled:"],
      ["lost", "failed", "UNKNOWN"],
    ],
  );
  t.match(await text("CLONE twin.on"), /^-NOT_READY twin was failed: IN_USE .*GPIO17.* lamp.*; RESET twin tries again$/);
  t.match(await text("CLONE spare.on"), /^-NOT_READY spare was skipped: enabled: false/);
  t.equal(await text("CLONE lamp.on"), "true");
  t.ok(log.lines.some((line) => line.startsWith("error twin did not open")));
});

t.test("RESET tries a failed device again", async (t) => {
  const { text } = await rig({ lamp: { line: "GPIO17", fail: "once" }, spare: { line: "GPIO4", enabled: false } });
  t.match(await text("CLONE lamp.on"), /^-NOT_READY lamp was failed: NOT_READY the lamp is not plugged in/);
  t.match(await text("RESET lamp"), /^-NOT_READY lamp was failed/);
  t.equal(await text("RESET lamp"), "+OK");
  t.equal(await text("CLONE lamp.on"), "true");
  t.match(await text("RESET spare"), /^-NOT_READY spare was skipped/);
});

t.test("a fault that a driver reports while it opens, or later, is not lost", async (t) => {
  const { opened, text } = await rig({ lamp: { line: "GPIO17", fail: "early" } });
  t.match(await text("CLONE lamp.on"), /^-FAULTED lamp is faulted: blown fuse/);
  await text("RESET lamp");
  opened[0]!.fault(new AgentError("IO", "wire cut"));
  t.match(await text("CLONE lamp.on"), /^-FAULTED lamp is faulted: wire cut/);
});

t.test("what a device publishes is a variable; a full store costs it the variable, not its work", async (t) => {
  const { variables, log, opened, text } = await rig({ lamp: { line: "GPIO17" } });
  await text("CLONE lamp.on");
  t.match(variables.get("lamp.on"), { value: true, source: "lamp" });
  t.match(opened[0]!.variable("lamp.on"), { value: true });
  for (const name of ["a", "b", "c", "c"]) opened[0]!.publish(name, 1);
  t.equal(log.lines.filter((line) => line.startsWith("warn lamp.c cannot be published")).length, 1, "said once");
  t.equal(await text("CLONE lamp.on"), "true");
});

t.test("what a device publishes holds until it publishes again, unless it says for how long", async (t) => {
  const { clock, variables, opened, text } = await rig({ lamp: { line: "GPIO17" } });
  await text("CLONE LEASE 60000 lamp.on");
  opened[0]!.publish("measured", 3, 500);
  await clock.advance(10_000);
  t.equal(variables.get("lamp.on")?.stale, false);
  t.equal(variables.get("lamp.measured")?.stale, true);
});

t.test("DEVICES and DESCRIBE show functions with their parameters and ranges, state, holder and what happened", async (t) => {
  const { clock, ask, text } = await rig({ lamp: { line: "GPIO17", group: "front" }, lost: { line: "GPIO99" } });
  await text("CLONE LEASE 300 lamp.dim 30");
  const devices = await ask("DEVICES");
  t.match(devices, {
    kind: "value",
    value: [
      {
        id: "lamp",
        driver: "test-lamp",
        state: "ready",
        reason: null,
        holder: { name: "bench", priority: 100, leaseLeftMs: 300 },
        functions: [
          { name: "lamp.on", effect: "actuate", params: [] },
          { name: "lamp.dim", params: [{ name: "percent", type: "number", minimum: 0, maximum: 100, description: "brightness, percent" }] },
          { name: "lamp.fade" },
          { name: "lamp.state", effect: "read" },
        ],
      },
      { id: "lost", state: "failed", reason: /^UNKNOWN/, holder: null, functions: [] },
    ],
  });
  await clock.advance(300);
  t.match(await ask("DESCRIBE lamp"), {
    kind: "value",
    value: {
      id: "lamp",
      holder: null,
      options: { line: "GPIO17" },
      lease: { defaultMs: 2000, floorMs: 30, ceilingMs: 60_000 },
      onLoss: "safe",
      group: "front",
      variables: [{ name: "lamp.on", value: false }],
      events: [{ kind: "safe" }, { kind: "lease-end", caller: "bench" }, { kind: "actuate", detail: "dim(30)" }],
    },
  });
  t.match(await ask("DESCRIBE lost"), { value: { state: "failed", events: [] } });
  await text("ESTOP");
  t.match(await ask("DESCRIBE lamp"), { value: { state: "e-stopped" } });
});

t.test("the verbs it serves are documented", async (t) => {
  const { host } = await rig({});
  t.same(
    host.verbs.map(({ verb }) => verb),
    ["CLONE", "DEVICES", "DESCRIBE", "RESET", "ESTOP"],
  );
  t.ok(host.verbs.every(({ summary }) => summary.length > 10));
  t.equal(MOTION_LEASE.ceilingMs, 5000);
});

t.test("whoever may use some functions only reaches these and sees only their devices", async (t) => {
  const { text, ask, caller, did } = await rig({
    lamp: { line: "GPIO17" },
    pump: { line: "GPIO4" },
    spare: { line: "GPIO5", enabled: false },
  });
  const may = (...allow: string[]): Caller => ({ ...caller, name: "ada", permits: compilePermits(allow) });
  const ada = may("lamp.on", "*.state", "vars:*");
  t.equal(await text("CLONE lamp.on", ada), "true");
  t.equal(await text("CLONE LEASE 300 lamp on", ada), "true");
  t.equal(await text("CLONE pump.state", ada), "false");
  const denied = (name: string) => `-DENIED ada may not use ${name}; its user's allow list does not cover it`;
  for (const [line, name] of [
    ["CLONE lamp.dim 30", "lamp.dim"],
    ["CLONE lamp dim 30", "lamp.dim"],
    ["CLONE LEASE 300 pump.on", "pump.on"],
    ["CLONE lamp.onn", "lamp.onn"],
    ["CLONE nothing.here", "nothing.here"],
    ["CLONE lamp", "lamp."],
    ["RESET lamp", "lamp.reset"],
    ["DESCRIBE spare", "spare.reset"],
    ["DESCRIBE nothing", "nothing.reset"],
    ["ESTOP RESET", "estop.reset"],
  ] as const)
    t.equal(await text(line, ada), denied(name), line);
  const seen = async (line: string, by: Caller): Promise<unknown> => {
    const reply = await ask(line, by);
    const value = (reply.kind === "value" ? reply.value : undefined) as { id: string; functions: { name: string }[] }[];
    return [value].flat().map(({ id, functions }) => [id, ...functions.map(({ name }) => name)]);
  };
  t.strictSame(await seen("DEVICES", ada), [
    ["lamp", "lamp.on", "lamp.state"],
    ["pump", "pump.state"],
  ]);
  t.strictSame(await seen("DESCRIBE lamp", ada), [["lamp", "lamp.on", "lamp.state"]]);
  t.strictSame(await seen("DEVICES", may("spare.reset")), [["spare"]]);
  t.strictSame(await seen("DEVICES", may("queue:*")), []);
  t.equal(await text("CLONE lamp.onn", may("lamp.*")), "-UNKNOWN no function lamp.onn (did you mean lamp.on?); DEVICES lists them");
  t.equal(await text("CLONE pump.sttae", may("pump.s*")), "-UNKNOWN no function pump.sttae (did you mean pump.state?); DEVICES lists them");
  t.equal(
    await text("CLONE pump.of", may("pump.o", "pump.of")),
    "-UNKNOWN no function pump.of; DEVICES lists them",
    "others are not suggested",
  );
  t.equal(await text("RESET lamp", may("lamp.*")), "+OK");
  t.equal(did.filter((what) => what === "pump on").length, 0);
});

t.test("everybody may stop everything, and only whoever is permitted to may clear that", async (t) => {
  const { text, caller } = await rig({ lamp: { line: "GPIO17" } });
  const ada: Caller = { ...caller, name: "ada", permits: compilePermits(["lamp.*"]) };
  t.equal(await text("ESTOP", ada), "+OK");
  t.match(await text("CLONE lamp.on"), /^-FAULTED lamp: e-stop is latched by ada/);
  t.match(await text("ESTOP RESET", ada), /^-DENIED ada may not use estop\.reset/);
  t.equal(await text("ESTOP RESET", { ...ada, permits: compilePermits(["estop.reset"]) }), "+OK");
  t.equal(await text("CLONE lamp.on", ada), "true");
});

t.test("an argument that is a secret is in no record", async (t) => {
  const { text, journal } = await rig({ safe: { line: "GPIO17" } });
  t.equal(await text("CLONE safe.unlock 30 1234"), "true");
  t.equal(await text("CLONE safe.dim 30"), "true");
  t.strictSame(
    journal.latest(2).map(({ detail }) => detail),
    ["unlock(30,***)", "dim(30)"],
  );
});

t.test("a client that hangs up cannot take back its stop, nor a call that it made", async (t) => {
  const { clock, board, text, ask, caller } = await rig({ lamp: { line: "GPIO17" }, pump: { line: "GPIO4" } });
  await text("CLONE LEASE 60000 lamp.on");
  await text("CLONE LEASE 60000 pump.on");
  const gone = new AbortController();
  const client: Caller = { ...caller, name: "gone", signal: gone.signal };
  const fading = ask("CLONE lamp.fade", client);
  const stopping = ask("ESTOP", client);
  gone.abort();
  t.equal(asText(await stopping), "+OK");
  t.same([board.world.level("GPIO17"), board.world.level("GPIO4")], [false, false]);
  await clock.advance(500);
  t.equal(asText(await fading), '"faded"');
  t.match(await text("CLONE lamp.on"), /^-FAULTED lamp: e-stop is latched by gone/);
});

t.test("a host may begin with the e-stop latched, and says who latched it", async (t) => {
  const { host, text, board } = await rig({ lamp: { line: "GPIO17" } }, { eStoppedBy: "ann" });
  t.equal(host.eStoppedBy, "ann");
  t.match(await text("CLONE lamp.on"), /^-FAULTED lamp: e-stop is latched by ann/);
  t.equal(board.world.level("GPIO17"), false);
  t.equal(await text("ESTOP RESET"), "+OK");
  t.equal(host.eStoppedBy, undefined);
  t.equal(await text("CLONE lamp.on"), "true");
});

t.test("once the front is lost nothing actuates and nothing opens, and what is read is still answered", async (t) => {
  const { host, text, board, clock } = await rig({ lamp: { line: "GPIO17" }, lost: { line: "GPIO4", fail: "once" } });
  await text("CLONE LEASE 300 lamp.on");
  host.loseFront("the front ended");
  t.equal(await text("CLONE lamp.on"), "-NOT_READY lamp: the front ended");
  t.equal(await text("CLONE lamp.state"), "true");
  await text("RESET lost");
  t.equal(await text("RESET lost"), "-NOT_READY lost was failed: NOT_READY lost: the front ended");
  t.same(board.world.claimed(), ["line GPIO17 of lamp"], "what had opened already was closed again");
  await clock.advance(300);
  t.equal(board.world.level("GPIO17"), false);
});

t.test("the lease that a command gets without asking is known of every open device", async (t) => {
  const { host } = await rig({ lamp: { line: "GPIO17", leaseMs: 700 }, pump: { line: "GPIO4" }, spare: { line: "GPIO5", enabled: false } });
  t.same(
    ["lamp", "pump", "spare", "nothing"].map((id) => host.leaseMsOf(id)),
    [700, 2000, 0, 0],
  );
});

t.test("devices may be opened elsewhere, and whoever does is told of their leases", async (t) => {
  const shown: number[] = [];
  const { text, opened, clock } = await rig(
    { lamp: { line: "GPIO17" } },
    {
      openDevice: async (spec, context) => ({
        ...(await spec.driver.open(context, spec.options)),
        showLease: (untilMs) => shown.push(untilMs),
      }),
    },
  );
  t.equal(opened.length, 1);
  await text("CLONE LEASE 300 lamp.on");
  await clock.advance(300);
  t.same(shown.slice(0, 2), [1300, -Infinity]);
});

t.test("opening is announced and has a time limit of its own", async (t) => {
  const doing: (string | undefined)[] = [];
  const clock = createFakeClock();
  const opening = rig(
    { stuck: { line: "GPIO4" }, lamp: { line: "GPIO17" } },
    {
      clock,
      openMs: 250,
      onDoing: (text) => void doing.push(text),
      openDevice: (spec, context) => (spec.id === "stuck" ? new Promise(() => undefined) : spec.driver.open(context, spec.options)),
    },
  );
  await clock.advance(250);
  const { host, text } = await opening;
  t.match(host.entries()[0], { outcome: "failed", reason: "TIMEOUT stuck: opening took longer than 250 ms" });
  t.equal(await text("CLONE lamp.on"), "true");
  t.same(doing, ["device stuck", undefined, "device lamp", undefined]);
});
