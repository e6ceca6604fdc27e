import { AgentError } from "../../agent/contract/errors.ts";
import {
  analogMessage,
  digitalMessage,
  MODE,
  pinModeMessage,
  PORT_PINS,
  reportDigitalMessage,
  servoConfigMessage,
} from "./firmata-messages.ts";
import { createClaims, type DigitalInput, type DigitalOutputs, type Edge, type PwmOutput } from "../../agent/contract/board.ts";
import type { Cancel, Clock } from "../../agent/contract/clock.ts";
import type { OfferedChip, PortOwner } from "../../agent/contract/device.ts";
import type { PinModes } from "./firmata-messages.ts";

/** What Arduino's servo library makes; it takes shorter ones for angles (Servo.h: MIN_PULSE_WIDTH, MAX_PULSE_WIDTH), microseconds. */
const SERVO_MIN_US = 544;
const SERVO_MAX_US = 2400;

/** Pulses every 20 ms, whatever is asked for (Servo.h: REFRESH_INTERVAL). */
const SERVO_PERIODS_NS = [10e6, 25e6] as const;

/** analogWrite has 490 or 980 Hz: what wants about that may have it. */
const PWM_PERIODS_NS = [0.5e6, 10e6] as const;

/** Sends to the Arduino. */
export type Send = (message: Uint8Array) => void;

/** The pins of one Arduino, and who uses them. */
export interface FirmataPins {
  readonly chip: OfferedChip;
  /** It is there, with these pins: what is open is set up as its owner last wanted it. */
  ready(pins: readonly PinModes[]): void;
  /** It is gone, or cannot be relied on: every owner is told, once. */
  lose(reason: string): void;
  /** Keeps others from using a pin, of which no message is sent. Throws IN_USE. */
  reserve(pin: number): Cancel;
  /** Levels it has told. */
  digital(port: number, levels: number): void;
  /** Resolves when nothing is open. */
  unused(): Promise<void>;
  readonly open: number;
}

/** One port in use. */
interface Port {
  readonly owner: PortOwner;
  /** Tells the Arduino what the owner wants. */
  setUp(): void;
  /** Told the levels of its eight pins. */
  digital?(port: number, levels: number): void;
}

/** How a duty cycle becomes messages; the pin is silent at 0. */
interface Drive {
  /** Throws ARGUMENT when the Arduino cannot make it. */
  readonly check: (dutyRatio: number) => void;
  readonly drive: (dutyRatio: number, before: number) => void;
}

export interface FirmataPinsOptions {
  readonly id: string;
  readonly clock: Clock;
  readonly send: Send;
  /** How long an input may take to tell its first level, milliseconds. */
  readonly replyMs: number;
}

export function createFirmataPins({ id, clock, send, replyMs }: FirmataPinsOptions): FirmataPins {
  const claims = createClaims();
  const ports = new Set<Port>();
  /** By port, one bit a pin: what the outputs are at. */
  const levels = new Map<number, number>();
  const reporting = new Map<number, number>();
  let whenUnused: (() => void)[] = [];
  let pins: readonly PinModes[] = [];
  const readyListeners = new Set<() => void>();
  let lost: string | undefined = "it was not there yet";

  function mustBeThere(code: "IO" | "NOT_READY"): void {
    if (lost !== undefined) throw new AgentError(code, `${id} cannot be reached: ${lost}`);
  }

  function mustHave(pin: number, mode: number, what: string): void {
    mustBeThere("NOT_READY");
    const modes = pins[pin];
    if (modes === undefined || modes.size === 0) throw new AgentError("UNKNOWN", `${id}:${pin} is no pin; it has ${pins.length}, from 0`);
    if (!modes.has(mode)) throw new AgentError("UNKNOWN", `${id}:${pin} is no ${what}; those are ${having(mode)}`);
  }

  function having(mode: number): string {
    const found = pins.flatMap((modes, pin) => (modes.has(mode) ? [pin] : []));
    return found.length === 0 ? "none" : found.join(", ");
  }

  /** Takes the pins, all or none. */
  function claimAll(owner: PortOwner, wanted: readonly number[]): Cancel {
    const releases: Cancel[] = [];
    const release = (): void => {
      for (const give of releases) give();
    };
    try {
      for (const pin of wanted) releases.push(claims.claim(`pin ${id}:${pin}`, owner.id));
    } catch (error) {
      release();
      throw error;
    }
    return release;
  }

  /** The port set up and known, until the answered function is called. */
  function use(port: Port, release: Cancel): Cancel {
    try {
      port.setUp();
    } catch (error) {
      release();
      throw error;
    }
    ports.add(port);
    return () => {
      if (!ports.delete(port)) return;
      release();
      if (ports.size > 0) return;
      for (const tell of whenUnused) tell();
      whenUnused = [];
    };
  }

  function note(pin: number, level: boolean): number {
    const port = Math.floor(pin / PORT_PINS);
    const bit = 1 << (pin % PORT_PINS);
    const was = levels.get(port) ?? 0;
    levels.set(port, level ? was | bit : was & ~bit);
    return port;
  }

  function sendLevels(of: Iterable<number>): void {
    for (const port of new Set(of)) send(digitalMessage(port, levels.get(port) ?? 0));
  }

  async function openOutputs(owner: PortOwner, offsets: readonly number[], initial: readonly boolean[]): Promise<DigitalOutputs> {
    if (offsets.length === 0 || offsets.length !== initial.length) {
      throw new AgentError("ARGUMENT", `${owner.id} asks ${id} for ${offsets.length} lines and ${initial.length} levels`);
    }
    for (const pin of offsets) mustHave(pin, MODE.output, "output");
    const release = claimAll(owner, offsets);
    let wanted = [...initial];
    const noteAll = (): number[] => offsets.map((pin, i) => note(pin, wanted[i] === true));
    const close = use(
      {
        owner,
        setUp() {
          // While the pin is an input its level is that of the pull-up, which stays when it becomes an output: no edge between.
          const touched = noteAll();
          sendLevels(touched);
          for (const pin of offsets) send(pinModeMessage(pin, MODE.output));
          sendLevels(touched);
        },
      },
      release,
    );
    return {
      write(next) {
        if (next.length !== offsets.length)
          throw new AgentError("ARGUMENT", `${offsets.length} lines take as many levels, got ${next.length}`);
        wanted = [...next];
        const touched = noteAll();
        mustBeThere("IO");
        sendLevels(touched);
      },
      levels: () => wanted,
      close,
    };
  }

  function watch(port: number, by: 1 | -1): void {
    const before = reporting.get(port) ?? 0;
    reporting.set(port, before + by);
    if (lost === undefined && before + by === 0) send(reportDigitalMessage(port, false));
  }

  async function openInput(
    owner: PortOwner,
    pin: number,
    { pull = "none", debounceUs = 0 }: Parameters<OfferedChip["openInput"]>[2],
  ): Promise<DigitalInput> {
    if (pull === "down") throw new AgentError("ARGUMENT", `${id}:${pin} has no pull-down; use pull: up, or a resistor and pull: none`);
    const mode = pull === "up" ? MODE.pullup : MODE.input;
    mustHave(pin, mode, pull === "up" ? "input with a pull-up" : "input");
    const release = claimAll(owner, [pin]);
    const port = Math.floor(pin / PORT_PINS);
    const listeners = new Set<(edge: Edge) => void>();
    let raw: boolean | undefined;
    let level: boolean | undefined;
    let cancelSettling: Cancel | undefined;
    let told: (() => void) | undefined;

    function settle(): void {
      if (raw === undefined || raw === level) return;
      level = raw;
      const edge: Edge = { rising: level, timestampNs: BigInt(Math.round(clock.monotonicMs() * 1e6)), kernelStamp: false };
      for (const listener of [...listeners]) listener(edge);
    }

    function take(next: boolean): void {
      if (next === raw) return;
      raw = next;
      cancelSettling?.();
      if (level === undefined) {
        level = next;
        told?.();
      } else if (debounceUs > 0) cancelSettling = clock.after(debounceUs / 1000, settle);
      else settle();
    }

    const end = use(
      {
        owner,
        setUp() {
          note(pin, false);
          send(pinModeMessage(pin, mode));
          send(reportDigitalMessage(port, true));
        },
        digital(ofPort, bits) {
          if (ofPort === port) take((bits & (1 << (pin % PORT_PINS))) !== 0);
        },
      },
      release,
    );
    watch(port, 1);
    const close = (): void => {
      cancelSettling?.();
      listeners.clear();
      watch(port, -1);
      end();
    };
    await new Promise<void>((resolve) => {
      const cancel = clock.after(replyMs, resolve);
      told = () => {
        cancel();
        resolve();
      };
    });
    if (level === undefined) {
      close();
      throw new AgentError("IO", `${id}:${pin} told no level within ${replyMs} ms`);
    }
    return {
      read() {
        mustBeThere("IO");
        return level === true;
      },
      onEdge(listener) {
        listeners.add(listener);
        return () => {
          listeners.delete(listener);
        };
      },
      close,
    };
  }

  function servo(pin: number, periodNs: number): Drive {
    const pulseUs = (dutyRatio: number): number => Math.round((dutyRatio * periodNs) / 1000);
    return {
      check(dutyRatio) {
        const us = pulseUs(dutyRatio);
        if (dutyRatio > 0 && (us < SERVO_MIN_US || us > SERVO_MAX_US)) {
          throw new AgentError("ARGUMENT", `${id}:${pin}: an Arduino makes pulses of ${SERVO_MIN_US} to ${SERVO_MAX_US} µs, not ${us} µs`);
        }
      },
      drive(dutyRatio, before) {
        if (dutyRatio === 0) silence(pin);
        else {
          if (before === 0) send(servoConfigMessage(pin, SERVO_MIN_US, SERVO_MAX_US));
          send(analogMessage(pin, pulseUs(dutyRatio)));
        }
      },
    };
  }

  /** Low, as an output. */
  function silence(pin: number): void {
    const port = note(pin, false);
    send(pinModeMessage(pin, MODE.output));
    sendLevels([port]);
  }

  function pwm(pin: number): Drive {
    const steps = 2 ** (pins[pin]?.get(MODE.pwm) ?? 8) - 1;
    return {
      check: () => undefined,
      drive(dutyRatio, before) {
        if (dutyRatio === 0) silence(pin);
        else {
          if (before === 0) send(pinModeMessage(pin, MODE.pwm));
          send(analogMessage(pin, Math.round(dutyRatio * steps)));
        }
      },
    };
  }

  function driveOf(pin: number, periodNs: number): Drive {
    const within = ([least, most]: readonly [number, number]): boolean => periodNs >= least && periodNs <= most;
    if (within(SERVO_PERIODS_NS) && pins[pin]?.has(MODE.servo) === true) return servo(pin, periodNs);
    if (within(PWM_PERIODS_NS)) {
      mustHave(pin, MODE.pwm, "PWM pin");
      return pwm(pin);
    }
    mustHave(pin, MODE.servo, "servo pin");
    throw new AgentError(
      "ARGUMENT",
      `${id}:${pin}: an Arduino has 490 or 980 Hz, or servo pulses every 20 ms; not a period of ${periodNs} ns`,
    );
  }

  async function openPwm(owner: PortOwner, pin: number, periodNs: number): Promise<PwmOutput> {
    mustHave(pin, MODE.output, "output");
    const { check, drive } = driveOf(pin, periodNs);
    const release = claimAll(owner, [pin]);
    let wanted = 0;
    const end = use({ owner, setUp: () => setUpDrive() }, release);

    function setUpDrive(): void {
      silence(pin);
      if (wanted > 0) drive(wanted, 0);
    }

    return {
      write(dutyRatio) {
        if (!(dutyRatio >= 0 && dutyRatio <= 1))
          throw new AgentError("ARGUMENT", `pwm ${id}:${pin}: duty ${dutyRatio} is not within 0 and 1`);
        check(dutyRatio);
        const before = wanted;
        wanted = dutyRatio;
        mustBeThere("IO");
        drive(dutyRatio, before);
      },
      close() {
        wanted = 0;
        try {
          if (lost === undefined) silence(pin);
        } finally {
          end();
        }
      },
    };
  }

  return {
    chip: {
      openOutputs,
      openInput,
      openPwm,
      onReady(listener) {
        readyListeners.add(listener);
        return () => readyListeners.delete(listener);
      },
    },
    ready(found) {
      pins = found;
      lost = undefined;
      for (const port of ports) port.setUp();
      for (const listener of [...readyListeners]) listener();
    },
    lose(reason) {
      const already = lost !== undefined;
      lost = reason;
      if (already) return;
      for (const { owner } of [...ports]) owner.lost(new AgentError("IO", `${id} cannot be reached: ${reason}`));
    },
    reserve: (pin) => claims.claim(`pin ${id}:${pin}`, id),
    digital(port, bits) {
      for (const used of [...ports]) used.digital?.(port, bits);
    },
    unused() {
      return ports.size === 0 ? Promise.resolve() : new Promise((resolve) => whenUnused.push(resolve));
    },
    get open() {
      return ports.size;
    },
  };
}
