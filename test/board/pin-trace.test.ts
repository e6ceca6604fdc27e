// What the kernel's own ports are told through boot, claim, run, loss, crash, restart and exit: nothing but what was ordered, and the safe states.
// The devices that test/board/restart.test.ts has not.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import t from "tap";

import { addPwmChip, loadI2cBus, locate, sysfsBase, until } from "./world.ts";
import { addVcan } from "./pedal-frames.ts";
import { changesOf, clearTrace, readTrace, startTrace, type TracedPort } from "../../bench/campaigns/failsafe/kernel-trace.ts";

const MAIN = join(import.meta.dirname, "..", "..", "dist", "agent", "main.js");

const [KERNELS, HEAD, WHEELS, EXPANDER] = [0x40, 0x41, 0x42, 0x20] as const;
/** PCA9534 data sheet, 6.2: the output port register. */
const OUTPUT_PORT = 1;

loadI2cBus([KERNELS, HEAD, WHEELS, EXPANDER]);
const { chip } = addPwmChip(KERNELS);
addVcan();

/** This board's one processor may be somebody else's for a while: whoever drives, and the control loop, may be late. */
const VEHICLE = { limits: { armStreamMs: 500, armStreamHz: 2, stopMissed: 1000, lossHoldMs: 2000 }, streamHz: 2 };
const pca9685 = (address: number, channel: number) => ({ pca9685: { bus: 0, address, channel } });
const line = (name: string): TracedPort => ({ kind: "line", number: sysfsBase(locate(name).chip.label) + locate(name).offset });
const channel = (address: number, number: number): TracedPort => ({ kind: "channel", address, channel: number });

/** One byte: the angle of the rear wheels. */
const ANGLE_CAN = {
  interface: "vcan0",
  frames: { angle: { id: 0x300, length: 1, periodMs: 20, signals: { angle: { startBit: 0, lengthBits: 8, signed: true } } } },
};

const CONFIGURATION = `board: board.yaml
keeper: { heartbeatMs: 1000 }
motion: { hangMs: 10000, watchdogPeriods: 100, overruns: 1000 }
devices:
  beams: { driver: light, lines: { low: GPIO23, high: GPIO24 } }
  spot: { driver: light, pwm: { chip: ${chip}, channel: 1 }, frequencyHz: 50 }
  led: { driver: dimmer, pwm: { chip: ${chip}, channel: 2 }, frequencyHz: 50 }
  gate: { driver: cover, open: GPIO25, close: GPIO26, openMs: 60000, closeMs: 60000 }
  camera: ${JSON.stringify({ driver: "pan-tilt", pan: { pwm: pca9685(HEAD, 0) }, tilt: { pwm: pca9685(HEAD, 1) } })}
  box: { driver: expander, chip: pca9534, bus: 0, address: ${EXPANDER}, outputs: { horn: { line: 2 } } }
  wheels: ${JSON.stringify({ driver: "steering", angle: { pwm: pca9685(WHEELS, 2) }, ...VEHICLE })}
  rear: ${JSON.stringify({ driver: "steering", angle: { can: { frame: "angle", signal: "angle" } }, can: ANGLE_CAN, ...VEHICLE })}
`;

/** Each port with the values it may ever have: its orders, on the way there for what moves step by step, and 0. */
const PORTS: Readonly<Record<string, readonly [port: TracedPort, isOrdered: (value: number) => boolean]>> = {
  "the low beam": [line("GPIO23"), (level) => level === 0],
  "the high beam": [line("GPIO24"), (level) => level === 1],
  "the spot": [channel(KERNELS, 1), (ticks) => ticks === 2048],
  "the LED": [channel(KERNELS, 2), (ticks) => ticks === 4096],
  "the gate's open": [line("GPIO25"), (level) => level === 1],
  "the gate's close": [line("GPIO26"), (level) => level === 0],
  // 1.5 ms to 1.83 ms of 20 ms, of 4096 ticks; down to 1.17 ms.
  "the head's pan": [channel(HEAD, 0), (ticks) => ticks >= 307 && ticks <= 376],
  "the head's tilt": [channel(HEAD, 1), (ticks) => ticks >= 238 && ticks <= 308],
  "a channel nobody has": [channel(HEAD, 5), () => false],
  "the horn": [{ kind: "bit", address: EXPANDER, register: OUTPUT_PORT, bit: 2 }, (level) => level === 1],
  "a line of the expander that nobody has": [{ kind: "bit", address: EXPANDER, register: OUTPUT_PORT, bit: 3 }, () => false],
  // 7 of 35 degrees.
  "the wheels": [channel(WHEELS, 2), (ticks) => ticks >= 307 && ticks <= 328],
};

/** What each port has once the orders are carried out. */
const DRIVEN: readonly (readonly [what: string, value: number])[] = [
  ["the high beam", 1],
  ["the spot", 2048],
  ["the LED", 4096],
  ["the gate's open", 1],
  ["the head's pan", 375],
  ["the head's tilt", 239],
  ["the horn", 1],
  ["the wheels", 328],
];

const ORDERS = ["beams.beam high", "spot.brightness 50", "led.on", "gate.open", "camera.look 30 -30", "box.set horn on"];

function ask(...words: string[]): string {
  return execFileSync("redis-cli", ["-p", "6390", ...words], { encoding: "utf8" }).trim();
}

/** The angles that were sent since `forget`, as another node on the bus sees them. */
function watchAngles(): { readonly angles: readonly number[]; forget(): void; stop(): void } {
  const child = spawn("stdbuf", ["--output=L", "candump", "-L", "vcan0,300:7FF"], { stdio: ["ignore", "pipe", "inherit"] });
  const angles: number[] = [];
  createInterface({ input: child.stdout }).on("line", (text) => angles.push(Buffer.from(text.split("#")[1] ?? "", "hex").readInt8()));
  return {
    angles,
    forget() {
      angles.length = 0;
    },
    stop: () => void child.kill(),
  };
}

interface Stream {
  commands: readonly string[];
  /** As `until`; when it does not hold, it is said what was refused. */
  until(what: string, condition: () => boolean): Promise<void>;
  stop(): void;
}

function given(what: string): readonly number[] {
  const [port] = PORTS[what] ?? [];
  return port === undefined ? [] : changesOf(readTrace(), port).map(({ value }) => value);
}

/** To read the trace takes a while, in which no order is sent: looked at ten times a second, the stream has no gap. */
function seldom(condition: () => boolean): () => boolean {
  let nextMs = 0;
  return () => {
    if (performance.now() < nextMs) return false;
    const holds = condition();
    nextMs = performance.now() + 100;
    return holds;
  };
}

/** Says the same again and again, as whoever drives does. */
function startStream(leaseMs: number): Stream {
  const socket = connect(6390, "127.0.0.1");
  const refusals: string[] = [];
  createInterface({ input: socket }).on("line", (answer) => {
    if (answer.startsWith("-")) refusals.push(answer);
  });
  socket.on("error", (error) => refusals.push(error.message));
  const timer = setInterval(() => {
    for (const command of stream.commands) socket.write(`CLONE LEASE ${leaseMs} ${command}\r\n`);
  }, 50);
  const stream = {
    commands: [] as readonly string[],
    async until(what: string, condition: () => boolean) {
      await until(what, seldom(condition), 30_000).catch((error: unknown) => {
        throw new Error(`${what}: last refused were ${refusals.slice(-8).join("; ")}`, { cause: error });
      });
    },
    stop() {
      clearInterval(timer);
      socket.destroy();
    },
  };
  return stream;
}

t.test("through boot, claim, run, loss, crash, restart and exit no port has a value that nobody ordered", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pin-trace-"));
  writeFileSync(join(folder, "board.yaml"), "name: virtual\ni2c: { limitMs: 5000 }\n");
  writeFileSync(join(folder, "virgo.yaml"), CONFIGURATION);
  startTrace();
  clearTrace();
  const rear = watchAngles();
  t.teardown(() => rear.stop());
  const agent = spawn(process.execPath, [MAIN, "agent"], { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  const said: string[] = [];
  createInterface({ input: agent.stderr }).on("line", (text) => {
    said.push(text);
    process.stderr.write(`${text}\n`);
  });
  const ended = new Promise((resolve) => agent.once("close", resolve));
  t.teardown(async () => {
    agent.kill("SIGKILL");
    await ended;
  });
  await until("the agent listens", () => existsSync(join(folder, "state", "listen.json")), 60_000);

  /** Nothing but 0 since the trace was cleared. */
  function silent(stage: string, what: string): void {
    t.same([...new Set(given(what).filter((value) => value !== 0))], [], `${stage}: ${what}`);
  }

  /** All but the wheels, which are held where they were driven to. */
  function safeBut(held: string, stage: string): void {
    for (const what of Object.keys(PORTS)) if (what !== held) silent(stage, what);
    onlyOrdered(stage);
  }

  /** 0 and what was ordered. */
  function onlyOrdered(stage: string): void {
    for (const [what, [, isOrdered]] of Object.entries(PORTS)) {
      const strange = given(what).filter((value) => value !== 0 && !isOrdered(value));
      t.same(strange, [], `${stage}: ${what} has no value that nobody ordered`);
    }
    const [least, most] = [Math.min(0, ...rear.angles), Math.max(0, ...rear.angles)];
    t.ok(least === 0 && most <= 7, `${stage}: the rear wheels are sent ${least} to ${most} degrees`);
  }

  /** Begins with wheels that were let go. */
  async function drive(leaseMs: number): Promise<void> {
    rear.forget();
    const stream = startStream(leaseMs);
    try {
      const arming = ["wheels.arm", "rear.arm"];
      stream.commands = ["wheels.angle 0", "rear.angle 0", ...arming];
      await stream.until("the wheels to be armed", () => (given("the wheels").at(-1) ?? 0) > 0);
      await stream.until("the rear wheels to be armed", () => rear.angles.length > 0);
      stream.commands = [...ORDERS, "wheels.angle 7", "rear.angle 7", ...arming];
      for (const [what, value] of DRIVEN) await stream.until(`${what} to be driven`, () => given(what).at(-1) === value);
      await stream.until("the rear wheels to be turned", () => rear.angles.at(-1) === 7);
    } finally {
      stream.stop();
    }
  }

  const atZero = (): boolean => DRIVEN.every(([what]) => given(what).at(-1) === 0);

  async function wheelsLetGo(): Promise<void> {
    for (const id of ["wheels", "rear"]) await until(`${id} to be let go`, () => /silent/.test(ask("CLONE", `${id}.state`)), 30_000);
  }

  for (const what of Object.keys(PORTS)) silent("boot", what);
  t.same(rear.angles, [], "no frame before anybody arms");

  clearTrace();
  await drive(2000);
  onlyOrdered("claim and run");
  // Nobody says anything any more: everything is let go, the wheels last.
  await until("the leases to end", seldom(atZero), 60_000);
  await wheelsLetGo();
  onlyOrdered("loss");
  t.equal(rear.angles.at(-1), 0, "loss: the rear wheels are let go");

  clearTrace();
  await drive(5000);
  onlyOrdered("once more");
  const pid = /pid:(\d+)/.exec(ask("INFO"))?.[1];
  clearTrace();
  rear.forget();
  process.kill(Number(pid), "SIGKILL");
  await until("the device host to be there again", () => /starts:2/.test(ask("INFO")) && /state:running/.test(ask("INFO")), 60_000);
  safeBut("the wheels", "crash and restart");
  await wheelsLetGo();
  safeBut("the wheels", "after the restart");
  t.equal(given("the wheels").at(-1), 0, "after the restart: the wheels are let go");
  t.same([...new Set(rear.angles)], [7, 0], "the rear wheels are held where they were, then let go");

  clearTrace();
  await drive(5000);
  onlyOrdered("driven again");
  clearTrace();
  rear.forget();
  agent.kill("SIGTERM");
  await ended;
  safeBut("the wheels", "exit");
  t.ok(atZero(), "nothing is driven at the end");
  await until("the last frame to be seen", () => rear.angles.at(-1) === 0);
  t.same(
    said.filter((text) => /warning/i.test(text)),
    [],
    "exit: Node has nothing to warn of",
  );
  t.same([...new Set(rear.angles)], [7, 0], "exit: the rear wheels are held where they were, then let go");
});
