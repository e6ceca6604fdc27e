import type { Cancel } from "../../../../agent/contract/clock.ts";
import type { SimInstrument, SimSerialLine } from "../serial.ts";

/** A pin as a meter would show it. */
export interface SimArduinoPin {
  readonly mode: "input" | "output" | "analog" | "pwm" | "servo" | "pullup";
  readonly level: boolean;
  /** 0 to 255 as PWM, microseconds as a servo; 0 otherwise. */
  readonly value: number;
}

/** An Arduino Uno with StandardFirmata on the simulated board. */
export interface SimArduino extends SimInstrument {
  pin(pin: number): SimArduinoPin;
  /** From outside; undefined: nobody does. */
  drive(pin: number, level: boolean | undefined): void;
  /** What is at an analog channel, 0 to 1023; A0 is channel 0. */
  measure(channel: number, value: number): void;
  /** Takes and answers nothing any more; its pins stay as they are. */
  freeze(frozen: boolean): void;
  /** Its reset button. */
  restart(): void;
  /** Every change of a pin since it was started first: `13 output:high`. */
  readonly trace: readonly string[];
}

const PINS = 20;
const FIRST_PIN = 2;
/** Pin of A0; those behind it are analog channels too. */
const FIRST_ANALOG_PIN = 14;
/** StandardFirmata's sampling interval, unless it is told another one. */
const SAMPLING_MS = 19;
const PWM_PINS: readonly number[] = [3, 5, 6, 9, 10, 11];
const MODE_NAMES = new Map<number, SimArduinoPin["mode"]>([
  [0, "input"],
  [1, "output"],
  [2, "analog"],
  [3, "pwm"],
  [4, "servo"],
  [0x0b, "pullup"],
]);

interface PinState {
  mode: SimArduinoPin["mode"];
  /** What it drives, or its pull-up is at. */
  latch: boolean;
  value: number;
  outside: boolean | undefined;
}

/** The answer to the capability query, as protocol.md describes it. */
function capabilities(): readonly number[] {
  const bytes: number[] = [0xf0, 0x6c];
  for (let pin = 0; pin < PINS; pin++) {
    if (pin >= FIRST_PIN)
      bytes.push(0, 1, 0x0b, 1, 1, 1, ...(pin >= FIRST_ANALOG_PIN ? [2, 10] : []), ...(PWM_PINS.includes(pin) ? [3, 8] : []), 4, 14);
    bytes.push(0x7f);
  }
  return [...bytes, 0xf7];
}

/** The answer to the analog mapping query: each pin's channel. */
function analogMapping(): readonly number[] {
  const channels = Array.from({ length: PINS }, (_, pin) => (pin >= FIRST_ANALOG_PIN ? pin - FIRST_ANALOG_PIN : 0x7f));
  return [0xf0, 0x6a, ...channels, 0xf7];
}

/** Starts anew with every plugging in and takes `bootMs` for it. */
export function createSimArduino(bootMs = 1500): SimArduino {
  const pins: PinState[] = Array.from({ length: PINS }, () => ({ mode: "input", latch: false, value: 0, outside: undefined }));
  const trace: string[] = [];
  const measured = new Map<number, number>();
  let frozen = false;
  let changed: (pin: number) => void = () => undefined;
  let restart: () => void = () => undefined;

  const stateOf = (pin: number): PinState => {
    const state = pins[pin];
    if (state === undefined) throw new Error(`the simulated Arduino has pins 0 to ${PINS - 1}, not ${pin}`);
    return state;
  };

  function levelOf(pin: number): boolean {
    const { mode, latch, outside } = stateOf(pin);
    if (mode === "output") return latch;
    return outside ?? (mode === "pullup" || (mode === "input" && latch));
  }

  function note(pin: number): void {
    const { mode, value } = stateOf(pin);
    trace.push(`${pin} ${mode}:${mode === "pwm" || mode === "servo" ? value : levelOf(pin) ? "high" : "low"}`);
  }

  function power(line: SimSerialLine) {
    let message: number[] = [];
    let cancelBoot: Cancel | undefined;
    let running = false;
    let stopped = false;
    const reporting = new Set<number>();
    const sampled = new Set<number>();
    let samplingMs = SAMPLING_MS;
    let cancelSampling: Cancel | undefined;
    const inputs = (port: number): readonly number[] =>
      Array.from({ length: 8 }, (_, i) => port * 8 + i).filter((pin) => pin < PINS && ["input", "pullup"].includes(stateOf(pin).mode));

    function send(...bytes: readonly number[]): void {
      if (!frozen) line.send(Uint8Array.from(bytes));
    }

    function report(port: number): void {
      if (!running || !reporting.has(port)) return;
      const bits = inputs(port).reduce((sum, pin) => sum | (levelOf(pin) ? 1 << (pin % 8) : 0), 0);
      send(0x90 | port, bits & 0x7f, bits >> 7);
    }

    function sample(channel: number): void {
      const value = measured.get(channel) ?? 0;
      if (stateOf(FIRST_ANALOG_PIN + channel).mode === "analog") send(0xe0 | channel, value & 0x7f, value >> 7);
    }

    function armSampling(): void {
      cancelSampling?.();
      if (sampled.size === 0) return;
      cancelSampling = line.clock.after(samplingMs, () => {
        armSampling();
        for (const channel of sampled) sample(channel);
      });
    }

    function reportAnalog(channel: number, on: boolean): void {
      if (channel >= PINS - FIRST_ANALOG_PIN) return;
      if (on) sampled.add(channel);
      else sampled.delete(channel);
      armSampling();
      if (on) sample(channel);
    }

    function setMode(pin: number, code: number): void {
      const state = stateOf(pin);
      const mode = MODE_NAMES.get(code);
      if (mode === undefined || pin < FIRST_PIN) return;
      if (state.mode === "pwm" || state.mode === "servo") state.latch = false;
      state.mode = mode;
      state.value = 0;
      note(pin);
    }

    function setPort(port: number, bits: number): void {
      for (let pin = port * 8; pin < Math.min(PINS, port * 8 + 8); pin++) {
        const state = stateOf(pin);
        const level = (bits & (1 << (pin % 8))) !== 0;
        if (pin < FIRST_PIN || (state.mode !== "output" && state.mode !== "input") || state.latch === level) continue;
        state.latch = level;
        note(pin);
      }
    }

    function setValue(pin: number, value: number): void {
      const state = stateOf(pin);
      if (state.mode !== "pwm" && state.mode !== "servo") return;
      state.value = value;
      note(pin);
    }

    function boot(): void {
      running = false;
      reporting.clear();
      sampled.clear();
      cancelSampling?.();
      samplingMs = SAMPLING_MS;
      for (const state of pins) Object.assign(state, { mode: "input", latch: false, value: 0 });
      cancelBoot = line.clock.after(bootMs, () => {
        running = true;
        message = [];
        send(0xf9, 2, 5);
        send(0xf0, 0x79, 2, 5, 0x53, 0, 0xf7);
      });
    }

    function obeySysex(command: number, data: readonly number[]): void {
      const [pin = 0, low = 0, middle = 0] = data;
      if (command === 0x6b) send(...capabilities());
      else if (command === 0x69) send(...analogMapping());
      else if (command === 0x7a) {
        samplingMs = pin | (low << 7);
        armSampling();
      } else if (command === 0x6f) setValue(pin, low | (middle << 7));
      else if (command === 0x70) setMode(pin, 4);
    }

    function obey(): void {
      const [kind = 0, one = 0, two = 0] = message;
      const high = kind & 0xf0;
      if (kind === 0xf9) send(0xf9, 2, 5);
      else if (kind === 0xf4) setMode(one, two);
      else if (kind === 0xf0) obeySysex(one, message.slice(2, -1));
      else if (high === 0x90) setPort(kind & 0x0f, one | (two << 7));
      else if (high === 0xe0) setValue(kind & 0x0f, one | (two << 7));
      else if (high === 0xc0) reportAnalog(kind & 0x0f, one === 1);
      else if (high === 0xd0) {
        if (one === 1) reporting.add(kind & 0x0f);
        else reporting.delete(kind & 0x0f);
        report(kind & 0x0f);
      }
    }

    function isWhole(): boolean {
      const kind = message[0] ?? 0;
      if (kind === 0xf0) return message.at(-1) === 0xf7;
      if (kind === 0xf9) return true;
      return message.length === ((kind & 0xf0) === 0xd0 || (kind & 0xf0) === 0xc0 ? 2 : 3);
    }

    boot();
    restart = boot;
    changed = (pin) => {
      report(Math.floor(pin / 8));
    };
    return {
      receive(bytes: Uint8Array) {
        if (frozen || !running) return;
        for (const byte of bytes) {
          // What it answered may have been the last that got through before its plug was pulled.
          if (stopped) return;
          if (byte >= 0x80 && byte !== 0xf7) message = [];
          message.push(byte);
          if (!isWhole()) continue;
          obey();
          message = [];
        }
      },
      stop() {
        stopped = true;
        cancelBoot?.();
        cancelSampling?.();
      },
    };
  }

  return {
    trace,
    start: power,
    pin: (pin) => ({ mode: stateOf(pin).mode, level: levelOf(pin), value: stateOf(pin).value }),
    drive(pin, level) {
      stateOf(pin).outside = level;
      changed(pin);
    },
    measure(channel, value) {
      measured.set(channel, value);
    },
    freeze(next) {
      frozen = next;
    },
    restart() {
      restart();
    },
  };
}
