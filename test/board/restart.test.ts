// What the kernel's own ports see while the device host is killed and started again: nobody orders anything, and nothing moves but to its safe state.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t from "tap";

import { changesOf, clearTrace, readTrace, startTrace, type TracedPort } from "../../bench/campaigns/failsafe/kernel-trace.ts";
import { addVcan, PEDALS, PEDALS_CAN, watchPedals } from "./pedal-frames.ts";
import { addPwmChip, loadI2cBus, locate, sysfsBase, until } from "./world.ts";

const MAIN = join(import.meta.dirname, "..", "..", "dist", "agent", "main.js");

const [KERNELS, SERVO, VEHICLES] = [0x40, 0x41, 0x42] as const;
/** 1 ms of 20 ms, of 4096 ticks: a pedal that is released. */
const RELEASED_TICKS = 205;

loadI2cBus([KERNELS, SERVO, VEHICLES]);
const { chip } = addPwmChip(KERNELS);
addVcan();

const VEHICLE = { limits: { armStreamMs: 500, armStreamHz: 2 }, streamHz: 2 };
const pca9685 = (address: number, channel: number) => ({ pca9685: { bus: 0, address, channel } });

/** This board's one processor may be somebody else's for a while. */
const BOARD = "name: virtual\ni2c: { limitMs: 5000 }\n";

const CONFIGURATION = `board: board.yaml
keeper: { heartbeatMs: 1000 }
motion: { hangMs: 10000, watchdogPeriods: 100, overruns: 1000 }
devices:
  lamp: { driver: light, line: GPIO17 }
  pump: { driver: relay, line: GPIO22 }
  pan: { driver: servo, pwm: { chip: ${chip}, channel: 0 } }
  tilt: { driver: servo, pwm: ${JSON.stringify(pca9685(SERVO, 0))} }
  winch: { driver: motor, in1: GPIO5, in2: GPIO6, pwm: { chip: ${chip}, channel: 3 }, frequencyHz: 50, slewPercentPerS: 10000 }
  cart: ${JSON.stringify({ driver: "gcbaf", accelerator: { pwm: pca9685(VEHICLES, 0) }, brake: { pwm: pca9685(VEHICLES, 1) }, ...VEHICLE })}
  car: ${JSON.stringify({ driver: "gcbaf", ...PEDALS, can: PEDALS_CAN, ...VEHICLE })}
`;

const line = (name: string): TracedPort => ({ kind: "line", number: sysfsBase(locate(name).chip.label) + locate(name).offset });
const channel = (address: number, number: number): TracedPort => ({ kind: "channel", address, channel: number });

function ask(...words: string[]): string {
  return execFileSync("redis-cli", ["-p", "6390", ...words], { encoding: "utf8" }).trim();
}

/** Says the same commands again and again, as whoever drives does. */
function startStream(): { commands: readonly string[]; stop(): void } {
  const socket = connect(6390, "127.0.0.1");
  socket.on("data", () => undefined);
  socket.on("error", () => undefined);
  const timer = setInterval(() => {
    for (const command of stream.commands) socket.write(`CLONE LEASE 5000 ${command}\r\n`);
  }, 50);
  const stream = {
    commands: [] as readonly string[],
    stop() {
      clearInterval(timer);
      socket.destroy();
    },
  };
  return stream;
}

const drive = (accelerator: number, brake: number): readonly string[] => ["cart", "car"].map((id) => `${id}.drive ${accelerator} ${brake}`);

/** What a port was given, without repetitions. */
function given(trace: string, port: TracedPort): readonly number[] {
  const values = changesOf(trace, port).map(({ value }) => value);
  return values.filter((value, i) => value !== values[i - 1]);
}

t.test(
  "killed and started again: what moves is safe throughout, a vehicle is braked without a gap, and nothing comes on by itself",
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "restart-"));
    writeFileSync(join(folder, "board.yaml"), BOARD);
    writeFileSync(join(folder, "virgo.yaml"), CONFIGURATION);
    startTrace();
    clearTrace();
    const watched = watchPedals();
    t.teardown(() => watched.stop());
    const agent = spawn(process.execPath, [MAIN, "agent"], { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
    const ended = new Promise((resolve) => agent.once("exit", resolve));
    t.teardown(async () => {
      agent.kill("SIGKILL");
      await ended;
    });
    await until("the agent listens", () => existsSync(join(folder, "state", "listen.json")), 60_000);

    const boot = readTrace();
    for (const [what, port] of Object.entries(PORTS))
      t.notOk(
        given(boot, port).some((value) => value > 0),
        `${what} at boot`,
      );
    t.same(watched.frames, [], "no frame before anybody arms");

    const stream = startStream();
    t.teardown(() => stream.stop());
    // Nothing else is run meanwhile: the stream has to come without a gap.
    stream.commands = [...drive(0, 20), "cart.arm", "car.arm"];
    const isDriven = (what: keyof typeof PORTS): boolean => (given(readTrace(), PORTS[what]).at(-1) ?? 0) > 0;
    await until("both vehicles to be armed", () => watched.frames.length > 0 && isDriven("cart's brake"), 30_000);
    stream.commands = [...drive(20, 0), "lamp.on", "pump.on", "pan.angle 20", "tilt.angle 30", "winch.speed 60"];
    await until("the vehicles to be driven", () => (watched.frames.at(-1)?.accelerator ?? 0) >= 5, 30_000);
    const driven = ["lamp", "pump", "winch's input", "winch", "pan", "tilt", "cart's accelerator"] as const;
    for (const what of driven) await until(`${what} to be driven`, () => isDriven(what));
    const pid = /pid:(\d+)/.exec(ask("INFO"))?.[1];
    stream.stop();

    clearTrace();
    const killedMs = Date.now();
    process.kill(Number(pid), "SIGKILL");
    await until("the device host to be there again", () => /starts:2/.test(ask("INFO")) && /state:running/.test(ask("INFO")), 60_000);
    const readyMs = Date.now();
    await until("frames of the new device host", () => (watched.frames.at(-1)?.atMs ?? 0) > readyMs + 300);

    const trace = readTrace();
    for (const what of ["lamp", "pump", "winch's input", "winch's other input", "winch", "pan", "tilt"] as const) {
      t.notOk(
        given(trace, PORTS[what]).some((value) => value > 0),
        `${what} is off, and stays so: ${given(trace, PORTS[what]).join(" ")}`,
      );
    }
    const pedal = given(trace, PORTS["cart's accelerator"]);
    const released = pedal.indexOf(0);
    t.ok(released >= 0 && pedal.slice(released).every((ticks) => ticks <= RELEASED_TICKS), `the cart's accelerator: ${pedal.join(" ")}`);
    const brakes = given(trace, PORTS["cart's brake"]).filter((ticks) => ticks > 0);
    t.same(
      brakes,
      brakes.toSorted((a, b) => a - b),
      `the cart's brake is never let go to be pressed again: ${brakes.join(" ")}`,
    );

    const after = watched.frames.filter(({ atMs }) => atMs > killedMs);
    const safe = after.slice(after.findIndex(({ accelerator }) => accelerator === 0));
    t.ok(
      safe.every(({ accelerator }) => accelerator === 0),
      "once it is released the accelerator stays so",
    );
    let pressed = 0;
    t.ok(
      safe.every(({ brake }) => {
        const less = brake < pressed;
        pressed = brake;
        return !less;
      }),
      `the brake is only ever pressed further: ${safe.map(({ brake }) => brake).join(" ")}`,
    );
    t.ok(pressed >= 50);
    const gaps = safe.slice(1).map(({ atMs }, i) => atMs - (safe[i]?.atMs ?? 0));
    const firstMs = (safe[0]?.atMs ?? Infinity) - killedMs;
    t.comment(
      `started again in ${readyMs - killedMs} ms; first safe frame after ${firstMs.toFixed(0)} ms, then never more than ${Math.max(...gaps).toFixed(0)} ms without one`,
    );
    t.ok(Math.max(...gaps) < (readyMs - killedMs) / 2, "frames do not wait for a process to start");
    const pulses = changesOf(trace, PORTS["cart's brake"]);
    const pauses = pulses.flatMap(({ atMs, value }, i) => {
      const next = pulses.slice(i).find((later) => later.value > 0);
      return value > 0 || pulses[i - 1]?.value === 0 || next === undefined ? [] : [next.atMs - atMs];
    });
    t.comment(`the cart's brake had no pulse for ${pauses.map((ms) => ms.toFixed(0)).join(" and ")} ms`);
    t.ok(Math.max(...pauses) < (readyMs - killedMs) / 2, "its port is not given back before the new process wants it");
    for (const id of ["pan", "winch", "cart", "car"]) t.match(ask("DESCRIBE", id), /restart/, `the journal says that ${id} was made safe`);
  },
);

const PORTS = {
  lamp: line("GPIO17"),
  pump: line("GPIO22"),
  "winch's input": line("GPIO5"),
  "winch's other input": line("GPIO6"),
  winch: channel(KERNELS, 3),
  pan: channel(KERNELS, 0),
  tilt: channel(SERVO, 0),
  "cart's accelerator": channel(VEHICLES, 0),
  "cart's brake": channel(VEHICLES, 1),
} as const;
