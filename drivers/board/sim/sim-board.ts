import { AgentError } from "../../../agent/contract/errors.ts";
import { lineRef, pwmText, type Board, type LineRef, type Pca9685Ref, type Pull, type PwmOutput } from "../../../agent/contract/board.ts";
import { createFaults, type SimOperation } from "./faults.ts";
import { createPca9685Channels } from "../pca9685.ts";
import { createPca9685Model, type Pca9685Model } from "./pca9685-model.ts";
import { CHANNELS } from "../pca9685-chip.ts";
import { createPorts } from "../ports.ts";
import { createSimCanBus, type SimCanBus, type SimCanWorld } from "./can.ts";
import { createSimI2c, type SimI2cWorld } from "./i2c.ts";
import { createSimSerialPort, type SimSerialPort, type SimSerialWorld } from "./serial.ts";
import { CHIP, createSimLines, openSimOutput, openSimOutputs } from "./lines.ts";
import { createDutyRecord, openSimPwm, type DutyRecord, type PwmEvent } from "./pwm.ts";
import { DEFAULT_I2C_TIMING, type I2cTiming } from "../i2c-queue.ts";
import { didYouMean } from "../../../agent/contract/nearest.ts";
import { i2cText, type I2cBus, type I2cDevice, type I2cRef } from "../../../agent/contract/i2c.ts";
import { openSimInput } from "./input.ts";
import type { Clock } from "../../../agent/contract/clock.ts";
import type { History } from "./history.ts";
import type { Pin, PinEvent } from "./pin.ts";

/** The board's other side: what a person with a wire, a meter and a logic analyser would do. Throws UNKNOWN for what is not on the board. */
export interface SimWorld {
  /** Drives a line from outside; an input sees the edge. Takes effect on an output's line once it is given back. */
  drive(line: string, level: boolean): void;
  /** Stops driving it: the pull decides. */
  letGo(line: string): void;
  /** A pull resistor on the board, there whether the line is open or not. */
  resistor(line: string, pull: Pull): void;
  /** Solders a wire between two lines, for good: what one drives as an output the other sees. */
  wire(line: string, otherLine: string): void;
  /** The level on the pin, whoever drives it; low where nobody does and nothing pulls. */
  level(line: string): boolean;
  /** What happened on the pin, the newest `historyLimit` events. */
  history(line: string): History<PinEvent>;
  /** Duty cycle 0–1 of a channel named by its `pwmText`, `pwm sim:0` or `pwm pca9685@1:0x40:0`; 0 while it is closed. */
  duty(channel: string): number;
  dutyHistory(channel: string): History<PwmEvent>;
  readonly i2c: SimI2cWorld;
  /** Puts a PCA9685, as it is after power-on, on a bus: its channels can be opened, and their duty cycles are recorded. */
  attachPca9685(bus: I2cBus, address: number): Pca9685Model;
  /** The other side of a CAN interface. */
  can(interfaceName: string): SimCanWorld;
  /** The other side of a serial port; nothing is plugged in at first. */
  serial(path: string): SimSerialWorld;
  /** The `nth` operation of its kind from now on fails once, with IO or with `error`: 1 is the next one. A failed close gives back all the same. */
  failNth(operation: SimOperation, nth: number, error?: AgentError): void;
  /** Failures planned and not met yet. */
  pendingFailures(): number;
  /** Every open port and its owner: `line GPIO17 of lamp`. */
  claimed(): readonly string[];
  /** Lets go of every line and bus, takes the resistors off, brings CAN interfaces up, ends tricks of serial ports, forgets planned failures and what was recorded. Open ports stay open. */
  reset(): void;
}

export interface SimBoard extends Board {
  readonly world: SimWorld;
}

/** A PCA9685 the board has from the start. */
export interface SimPca9685 {
  readonly bus: I2cBus;
  readonly address: number;
}

export interface SimBoardOptions {
  readonly clock: Clock;
  /** Why the agent runs on this board, as `describe` tells it. */
  readonly why?: string;
  /** Line names and their offsets on chip `sim`; GPIO0 to GPIO27 when absent. A line is known by its first name. */
  readonly lines?: Readonly<Record<string, number>>;
  /** Channels 0 to `pwmChannels - 1` on chip `sim`; 4 when absent. */
  readonly pwmChannels?: number;
  /** One on bus 1 at 0x40 when absent. */
  readonly pca9685?: readonly SimPca9685[];
  readonly i2c?: I2cTiming;
  /** CAN interfaces; can0 and can1 when absent. */
  readonly can?: readonly string[];
  /** Events kept per pin, per channel and per interface; 1000 when absent. */
  readonly historyLimit?: number;
}

/** The 40-pin header's lines. */
function headerLines(): Record<string, number> {
  const lines: Record<string, number> = {};
  for (let offset = 0; offset <= 27; offset++) lines[`GPIO${offset}`] = offset;
  return lines;
}

/** A board without hardware that behaves as the real ones do, and whose other side a test, a demo or a person at a keyboard can play. */
export function createSimBoard(options: SimBoardOptions): SimBoard {
  const { clock, why = "the configuration asks for it", pwmChannels = 4, historyLimit = 1000 } = options;
  const ports = createPorts("the simulated board");
  const faults = createFaults();
  const lines = createSimLines(options.lines ?? headerLines(), clock, historyLimit);
  const i2c = createSimI2c(clock, faults, options.i2c ?? DEFAULT_I2C_TIMING);
  const duties = new Map<string, DutyRecord>();
  const buses = new Map<string, SimCanBus>();
  const serialPorts = new Map<string, SimSerialPort>();
  const pca9685 = createPca9685Channels({
    openI2c: (owner, ref) => openI2c(owner, ref, true),
    openOutput: (owner, line, initial) => openOutput(owner, lineRef(line), initial),
    oscillatorStarts: () => Promise.resolve(),
  });

  for (let channel = 0; channel < pwmChannels; channel++) {
    duties.set(pwmText({ chip: CHIP, channel }), createDutyRecord(clock, historyLimit));
  }
  for (const name of options.can ?? ["can0", "can1"]) buses.set(name, createSimCanBus(`can ${name}`, clock, faults, historyLimit));
  for (const { bus, address } of options.pca9685 ?? [{ bus: 1, address: 0x40 }]) attachPca9685(bus, address);

  function recordOf(name: string): DutyRecord {
    const record = duties.get(name) ?? createDutyRecord(clock, historyLimit);
    duties.set(name, record);
    return record;
  }

  function attachPca9685(bus: I2cBus, address: number): Pca9685Model {
    const records = Array.from({ length: CHANNELS }, (_, channel) => recordOf(pwmText({ pca9685: { bus, address, channel } })));
    const model = createPca9685Model((channel, dutyRatio) => records[channel]?.duty(dutyRatio));
    i2c.world.attach(bus, address, model);
    return model;
  }

  function dutyOf(name: string): DutyRecord {
    const record = duties.get(name);
    if (record !== undefined) return record;
    const pca = [...duties.keys()].filter((known) => known.startsWith("pwm pca9685@") && known.endsWith(":0"));
    const also = pca.length === 0 ? "" : `; channels 0 to ${CHANNELS - 1} of ${pca.map((known) => known.slice(4, -2)).join(", ")}`;
    const there = `the simulated board has channels 0 to ${pwmChannels - 1} on chip ${CHIP}${also}`;
    throw new AgentError("UNKNOWN", `${name} does not exist; ${there}`);
  }

  function canBus(name: string): SimCanBus {
    const bus = buses.get(name);
    if (bus !== undefined) return bus;
    const names = [...buses.keys()];
    const known = names.length === 0 ? "none" : names.join(", ");
    throw new AgentError("UNKNOWN", `can interface ${name} is not on the simulated board, which has ${known}${didYouMean(name, names)}`);
  }

  function serialPort(path: string): SimSerialPort {
    const port = serialPorts.get(path) ?? createSimSerialPort(path, clock, faults, historyLimit);
    serialPorts.set(path, port);
    return port;
  }

  async function openOutput(owner: string, ref: LineRef, initial: boolean) {
    const pin = lines.find(ref);
    const key = `line ${pin.name}`;
    return ports.open(owner, [key], () => {
      faults.meet("openOutput", key);
      return openSimOutput(pin, initial, faults);
    });
  }

  async function openI2c(owner: string, ref: I2cRef, repeatWrites: boolean): Promise<I2cDevice> {
    const chip = i2c.find(ref);
    const key = i2cText(chip);
    return ports.open(owner, [key], () => {
      faults.meet("openI2c", key);
      return i2c.open(chip, repeatWrites);
    });
  }

  async function openPca9685(owner: string, ref: Pca9685Ref, periodNs: number): Promise<PwmOutput> {
    const output = await pca9685.open(owner, ref, periodNs);
    const record = recordOf(pwmText({ pca9685: ref }));
    record.opened(periodNs);
    return {
      write: (dutyRatio) => output.write(dutyRatio),
      async close() {
        try {
          await output.close();
        } finally {
          record.released();
        }
      },
    };
  }

  const pinNamed = (line: string): Pin => lines.find(lineRef(line));

  const world: SimWorld = {
    drive: (line, level) => pinNamed(line).drive(level),
    letGo: (line) => pinNamed(line).drive(undefined),
    resistor: (line, pull) => pinNamed(line).resistor(pull),
    wire(line, otherLine) {
      const pin = pinNamed(line);
      const other = pinNamed(otherLine);
      pin.wire(other);
      other.wire(pin);
    },
    level: (line) => pinNamed(line).level(),
    history: (line) => pinNamed(line).history(),
    duty: (channel) => dutyOf(channel).dutyRatio(),
    dutyHistory: (channel) => dutyOf(channel).history(),
    i2c: i2c.world,
    attachPca9685,
    can: (name) => canBus(name).world,
    serial: (path) => serialPort(path).world,
    failNth: (operation, nth, error) => faults.plan(operation, nth, error),
    pendingFailures: () => faults.pending(),
    claimed: () => ports.list(),
    reset() {
      faults.clear();
      i2c.reset();
      for (const pin of lines.all()) pin.reset();
      for (const record of duties.values()) record.reset();
      for (const bus of buses.values()) bus.reset();
      for (const port of serialPorts.values()) port.reset();
    },
  };

  return {
    world,
    describe: () => ({
      kind: "sim",
      model: "simulated board",
      why,
      chips: [{ label: CHIP, path: CHIP, lines: lines.count }],
    }),
    openOutput,
    async openOutputs(owner, refs, initial) {
      if (refs.length === 0) throw new AgentError("ARGUMENT", `${owner} asks for no lines; name at least one`);
      if (initial.length !== refs.length) {
        throw new AgentError("ARGUMENT", `${refs.length} lines take ${refs.length} initial levels, got ${initial.length}`);
      }
      const pins = refs.map((ref) => lines.find(ref));
      const keys = pins.map((pin) => `line ${pin.name}`);
      return ports.open(owner, keys, () => {
        faults.meet("openOutput", keys.join(", "));
        return openSimOutputs(pins, initial, faults);
      });
    },
    async openInput(owner, ref, inputOptions) {
      const pin = lines.find(ref);
      const key = `line ${pin.name}`;
      return ports.open(owner, [key], () => {
        faults.meet("openInput", key);
        return openSimInput(pin, inputOptions, clock, faults);
      });
    },
    async openPwm(owner, ref, periodNs) {
      const name = pwmText(ref);
      if ("chip" in ref) dutyOf(name);
      else i2c.find(ref.pca9685);
      if (!(periodNs > 0 && Number.isFinite(periodNs)))
        throw new AgentError("ARGUMENT", `${name}: a period of ${periodNs} ns is not possible`);
      return ports.open(owner, [name], () => {
        faults.meet("openPwm", name);
        return "chip" in ref ? openSimPwm(name, periodNs, recordOf(name), faults) : openPca9685(owner, ref.pca9685, periodNs);
      });
    },
    openI2c: (owner, ref) => openI2c(owner, ref, false),
    async openCan(owner, interfaceName) {
      const bus = canBus(interfaceName);
      const name = `can ${interfaceName}`;
      return ports.openShared(owner, name, () => {
        faults.meet("openCan", name);
        return bus.open();
      });
    },
    openSerial: async (owner, path, serialOptions) => ports.open(owner, [`serial ${path}`], () => serialPort(path).open(serialOptions)),
    async close() {
      let failure: AgentError | undefined;
      await ports.close((error) => {
        failure ??= error;
      });
      if (failure !== undefined) throw failure;
    },
  };
}
