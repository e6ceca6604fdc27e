// Devices in processes that are started, stopped and killed, on one simulated machine that remembers what its ports did.
import { createFakeClock, settled } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { createMachine, type MortalProcess } from "../helpers/mortal-process.ts";
import { createSimArduino, type SimArduino } from "../../drivers/board/sim/instruments/firmata.ts";
import { createSimBoard, type SimWorld } from "../../drivers/board/sim/sim-board.ts";
import { createVariableStore, type VariableStore } from "../../analytics/store.ts";
import { deviceModules } from "../../agent/modules.ts";
import { limitsSchema } from "../../agent/contract/limits.ts";
import { openHost, type Host } from "../../agent/host/host.ts";
import { quasiBidirectional, registerExpander, type ExpanderSpy } from "../helpers/expander-chips.ts";
import { writeSafeStates } from "../../agent/safe-state.ts";
import type { DeviceSpec } from "../../agent/contract/device.ts";
import type { SafeReport } from "../../agent/keeper/safe-report.ts";
import type { VariableValue } from "../../agent/contract/variable.ts";

export type Devices = Readonly<Record<string, readonly [driver: string, options: Readonly<Record<string, unknown>>]>>;

/** A port that something hangs on, and how what it did is read. */
export type Port =
  | { readonly line: string }
  | { readonly pwm: string }
  /** A byte of the frames that are sent. */
  | { readonly can: string; readonly byte: number }
  | { readonly expander: keyof typeof EXPANDERS; readonly pin: number }
  | { readonly arduino: number };

/** Nobody drives it: no frame yet, an input. */
export const NOBODY = -1;

export const ARDUINO = "/dev/serial/by-id/usb-uno";

/** The I2C addresses of the expanders, on bus 1. */
export const EXPANDERS = { pca9534: 0x20, mcp23008: 0x21, pcf8574: 0x22 } as const;

const STREAM_MS = 50;

export interface Rig {
  readonly world: SimWorld;
  /** Milliseconds of the machine's clock. */
  nowMs(): number;
  /** Streams a variable into the process that runs. */
  setVariable(name: string, value: VariableValue): void;
  /** Opens the devices in a new process: as the agent does it when it starts, or after it made them safe because the process before was lost. */
  start(after?: SafeReport): Promise<void>;
  /** These commands 20 times a second for so long; what the last round answered. */
  drive(commands: readonly string[], forMs: number): Promise<readonly string[]>;
  ask(line: string): Promise<string>;
  wait(ms: number): Promise<void>;
  /** As the service manager stops it. */
  stop(): Promise<void>;
  kill(): Promise<void>;
  /** As the front does it. */
  makeSafe(): Promise<SafeReport>;
  /**
   * What the port did since this was asked last, beginning with what it did then, as `turningPoints`: lines 0 and 1, PWM channels their duty cycle in
   * thousandths.
   */
  trace(port: Port): string;
  /** Ports that are open, with their owners. */
  claimed(): readonly string[];
}

export function createRig(devices: Devices, pulledUp: readonly string[]): Rig {
  const clock = createFakeClock();
  const board = createSimBoard({ clock, pwmChannels: 8, historyLimit: 1_000_000 });
  const { world } = board;
  const machine = createMachine(board, clock);
  const arduino = createSimArduino();
  const spies = {
    pca9534: registerExpander("pca9534"),
    mcp23008: registerExpander("mcp23008"),
    pcf8574: quasiBidirectional(),
  };
  const readers: Readers = { world, arduino, spies };
  const seen = new Map<string, number>();
  const specs = Object.entries(devices).map(([id, [name, options]]) => specOf(id, name, options));
  let running: { readonly process: MortalProcess; readonly host: Host } | undefined;
  /** What the last process said of its devices: the front knows it, too. */
  let said: VariableStore | undefined;

  world.serial(ARDUINO).attach(arduino);
  for (const [kind, spy] of Object.entries(spies)) world.i2c.attach(1, EXPANDERS[kind as keyof typeof EXPANDERS], spy);
  for (const line of pulledUp) world.resistor(line, "up");

  /** Lets time pass until it is done. */
  async function meanwhile<T>(doing: Promise<T>): Promise<T> {
    let done = false;
    const finished = doing.finally(() => {
      done = true;
    });
    finished.catch(() => undefined);
    const isDone = (): boolean => done;
    for (let waits = 0; !isDone() && waits < 10_000; waits++) await clock.advance(10);
    return finished;
  }

  function newVariables(by: MortalProcess) {
    return createVariableStore({ clock: by.clock, limits: limitsSchema.parse({}), declared: {}, defaultStaleMs: 2000 });
  }

  async function ask(line: string): Promise<string> {
    const [verb = "", ...args] = line.split(" ");
    const caller = { name: "test", priority: 100, maxPriority: 255, signal: new AbortController().signal };
    const reply = await running?.host.handle({ verb, args }, caller);
    if (reply === undefined) return "-nothing runs";
    if (reply.kind === "error") return `-${reply.error.code} ${reply.error.message}`;
    return reply.kind === "status" ? `+${reply.text}` : JSON.stringify(reply.value);
  }

  return {
    world,
    nowMs: () => clock.monotonicMs(),
    setVariable: (name, value) => said?.set(name, value, "test"),
    async start(after) {
      const process = machine.startProcess();
      const variables = newVariables(process);
      said = variables;
      const host = await meanwhile(
        openHost({
          node: "n",
          specs,
          board: process.board,
          clock: process.clock,
          variables,
          journal: createJournal(process.clock),
          log: createFakeLog(),
          afterDeath: after !== undefined,
          async beforeOpening() {
            const driven: Readonly<Record<string, VariableValue>> = (await after?.handOver()) ?? {};
            for (const [name, value] of Object.entries(driven)) variables.set(name, value, "safe state", Infinity);
          },
        }),
      );
      const failed = host.entries().find(({ outcome }) => outcome !== "opened");
      if (failed !== undefined) throw new Error(`${failed.spec.id} was ${failed.outcome}: ${failed.reason ?? ""}`);
      running = { process, host };
      if (after !== undefined) await meanwhile(after.release());
    },
    async drive(commands, forMs) {
      let answers: readonly string[] = [];
      for (let at = 0; at < forMs; at += STREAM_MS) {
        const round: string[] = [];
        for (const command of commands) round.push(await meanwhile(ask(`CLONE ${command}`)));
        answers = round;
        await clock.advance(STREAM_MS);
      }
      return answers;
    },
    ask: (line) => meanwhile(ask(line)),
    wait: (ms) => clock.advance(ms),
    async stop() {
      await meanwhile(running?.host.stop() ?? Promise.resolve());
      running = undefined;
    },
    async kill() {
      await running?.process.die();
      running = undefined;
      await settled();
    },
    async makeSafe() {
      const process = machine.startProcess();
      const report = await meanwhile(
        writeSafeStates({
          specs,
          openBoard: () => Promise.resolve(process.board),
          clock: process.clock,
          log: createFakeLog(),
          limitMs: 5000,
          variables: said,
        }),
      );
      const failed = report.devices.find(({ outcome }) => outcome === "failed");
      if (failed !== undefined) throw new Error(`${failed.id} is not safe: ${failed.reason ?? ""}`);
      return report;
    },
    trace(port) {
      const values = valuesOf(readers, port);
      const name = JSON.stringify(port);
      const from = seen.get(name) ?? 0;
      seen.set(name, values.length - 1);
      return turningPoints(values.slice(from));
    },
    claimed: () => world.claimed(),
  };
}

function specOf(id: string, name: string, options: Readonly<Record<string, unknown>>): DeviceSpec {
  const driver = deviceModules.flatMap(({ drivers }) => drivers).find((candidate) => candidate.name === name);
  if (driver === undefined) throw new Error(`no driver ${name}`);
  const policy = { enabled: true, onLoss: "safe", onExit: "safe", exclusive: false, callMs: 5000 } as const;
  return { id, driver, options: driver.options.parse(options), policy };
}

interface Readers {
  readonly world: SimWorld;
  readonly arduino: SimArduino;
  readonly spies: Readonly<Record<keyof typeof EXPANDERS, ExpanderSpy>>;
}

/** Everything it ever was, beginning with what it was before anything ran; never empty. */
function valuesOf({ world, arduino, spies }: Readers, port: Port): readonly number[] {
  if ("line" in port) return [0, ...world.history(port.line).entries.map(({ level }) => Number(level))];
  if ("pwm" in port) return [0, ...world.dutyHistory(`pwm ${port.pwm}`).entries.map(({ dutyRatio }) => Math.round(dutyRatio * 1000))];
  if ("can" in port)
    return [
      NOBODY,
      ...world
        .can(port.can)
        .sent()
        .entries.map(({ data }) => data[port.byte] ?? NOBODY),
    ];
  if ("expander" in port) return spies[port.expander].trace.map((word) => (word[port.pin] === "z" ? NOBODY : Number(word[port.pin])));
  return [NOBODY, ...arduino.trace.filter((text) => text.startsWith(`${port.arduino} `)).map(arduinoValue)];
}

/** `13 output:high`, `9 servo:1500`, `13 input:low`. */
function arduinoValue(text: string): number {
  const [, mode = "", value = ""] = /^\d+ (\w+):(\w+)$/.exec(text) ?? [];
  if (mode === "input") return NOBODY;
  return mode === "output" ? Number(value === "high") : Number(value);
}

/** The first value, each at which it turned round, and the last: `0 75 0` however many steps there were. A pulse nobody ordered is two more. */
export function turningPoints(values: readonly number[]): string {
  const points: number[] = [];
  for (const value of values) {
    const [before, last] = points.slice(-2);
    if (value === points.at(-1)) continue;
    const goesOn = before !== undefined && last !== undefined && Math.sign(value - last) === Math.sign(last - before);
    if (goesOn) points.pop();
    points.push(value);
  }
  return points.join(" ");
}
