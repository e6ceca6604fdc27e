import { z } from "zod";

import { analogEntities, analogShape, createFirmataAnalog } from "./firmata-analog.ts";
import { ANALOG_MAPPING_REQUEST, CAPABILITY_REQUEST, capabilitiesOf, SYSEX, VERSION_REQUEST, type PinModes } from "./firmata-messages.ts";
import { createFirmataParser } from "./firmata-parser.ts";
import { createFirmataPins } from "./firmata-pins.ts";
import { defineDriver, defineFunction, STILL_LEASE, type Device, type DeviceContext } from "../../agent/contract/device.ts";
import { serialOptionsShape, type SerialStream } from "../../agent/contract/serial.ts";
import type { Cancel } from "../../agent/contract/clock.ts";

/** StandardFirmata speaks 2; what a 3 would mean is not known. */
const MAJOR_VERSION = 2;

/** Devices on its pins close at the same time; theirs are the last words. */
const CLOSE_MS = 500;

// The heartbeat sees silence sooner.
const serialSchema = z.strictObject(serialOptionsShape(57_600)).omit({ silentMs: true });

const optionsSchema = serialSchema.extend({
  readyMs: z
    .int()
    .min(100)
    .max(4500)
    .default(4000)
    .describe("how long opening waits for the Arduino, which starts anew when its port is opened, milliseconds"),
  replyMs: z.int().min(20).max(4000).default(500).describe("pause before a question without an answer is repeated, milliseconds"),
  heartbeatMs: z.int().min(20).max(10_000).default(250).describe("how often it is asked whether it is there, milliseconds"),
  lostMs: z.int().min(50).max(60_000).default(1000).describe("without an answer for so long it is lost, milliseconds"),
  ...analogShape,
});

type FirmataOptions = z.output<typeof optionsSchema>;

/**
 * An Arduino with StandardFirmata, whose pins other devices use as the board's: `line: "uno:13"`, `pwm: { chip: uno, channel: 9 }`. Publishes `connected`,
 * and analog inputs under the names they have in its options, each for as long as three samplings.
 * An Arduino that is lost faults the devices on its pins; when it is back, its pins are set as these last wanted them, which is their safe state, and they
 * can be used again. Those that could not open without it open then.
 *
 * It does not know leases: when its cable or this agent is gone, its pins stay as they are until it starts anew. What must not stay on needs a sketch with
 * a watchdog, or hardware of its own.
 */
export const firmataDriver = defineDriver({
  name: "firmata",
  summary:
    "an Arduino with StandardFirmata: its pins are lines, PWM channels and servo channels for other devices; publishes its analog inputs",
  options: optionsSchema,
  moves: false,
  lease: STILL_LEASE,
  offers: true,
  claims: ({ path }) => [`serial ${path}`],
  entities: (options) => [
    { kind: "binary_sensor", key: "connected", category: "diagnostic", state: { on: "connected" }, deviceClass: "connectivity" },
    ...analogEntities(options),
  ],
  async open(context, options) {
    const stream = await context.board.openSerial(context.id, options.path, { ...options, silentMs: 0 });
    const { device, settled } = createFirmata(context, stream, options);
    await settled;
    return device;
  },
});

interface Opened {
  readonly device: Device;
  /** When the Arduino is ready, or does not become so in time. */
  readonly settled: Promise<void>;
}

function createFirmata(context: DeviceContext, stream: SerialStream, options: FirmataOptions): Opened {
  const { readyMs, replyMs, heartbeatMs, lostMs } = options;
  const { clock } = context;
  let version: string | undefined;
  let found: readonly PinModes[] = [];
  let isReady = false;
  let heardMs = -Infinity;
  let published: boolean | undefined;
  let cancelWait: Cancel | undefined;
  let settle: (() => void) | undefined;
  const pins = createFirmataPins({ id: context.id, clock, replyMs, send });
  const analog = createFirmataAnalog({
    ...options,
    id: context.id,
    send,
    publish: (name, value, freshMs) => {
      context.publish(name, value, freshMs);
    },
    reserve: (pin) => pins.reserve(pin),
  });
  const parser = createFirmataParser({
    version: onVersion,
    digital: (port, levels) => {
      pins.digital(port, levels);
    },
    analog: (channel, value) => {
      analog.take(channel, value);
    },
    sysex: onSysex,
  });

  function send(message: Uint8Array): void {
    stream.write(message);
  }

  function show(): void {
    if (isReady === published) return;
    published = isReady;
    context.publish("connected", isReady);
  }

  function lose(reason: string): void {
    cancelWait?.();
    isReady = false;
    version = undefined;
    found = [];
    analog.lose();
    pins.lose(reason);
    show();
  }

  /** Asks until it answers; one that never does has its port opened again. */
  function ask(request: Uint8Array, sinceMs: number): void {
    stream.write(request);
    cancelWait?.();
    cancelWait = clock.after(replyMs, () => {
      if (clock.monotonicMs() - sinceMs < readyMs) ask(request, sinceMs);
      else stream.reopen(`no answer within ${readyMs} ms; does it run StandardFirmata at ${options.baudRate} baud?`);
    });
  }

  function begin(): void {
    parser.restart();
    ask(VERSION_REQUEST, clock.monotonicMs());
  }

  function beat(): void {
    if (clock.monotonicMs() - heardMs > lostMs) {
      stream.reopen(`no heartbeat within ${lostMs} ms`);
      return;
    }
    stream.write(VERSION_REQUEST);
    cancelWait = clock.after(heartbeatMs, beat);
  }

  function onVersion(major: number, minor: number): void {
    heardMs = clock.monotonicMs();
    if (version !== undefined || isReady || stream.state() !== "open") return;
    if (major !== MAJOR_VERSION) {
      stream.reopen(`it speaks Firmata ${major}.${minor}; ${MAJOR_VERSION}.x is needed`);
      return;
    }
    version = `${major}.${minor}`;
    ask(CAPABILITY_REQUEST, clock.monotonicMs());
  }

  function onSysex(command: number, data: Uint8Array): void {
    if (command === SYSEX.firmware && isReady) {
      // Told without being asked: it has started anew, and its pins are inputs now.
      lose("it started anew");
      begin();
      return;
    }
    if (version === undefined || isReady) return;
    if (command === SYSEX.capabilityResponse) {
      found = capabilitiesOf(data) ?? [];
      if (found.length === 0) return;
      if (analog.wanted) ask(ANALOG_MAPPING_REQUEST, clock.monotonicMs());
      else start(data);
    } else if (command === SYSEX.analogMappingResponse && found.length > 0) start(data);
  }

  /** It has told all that has to be known. */
  function start(mapping: Uint8Array): void {
    isReady = true;
    heardMs = clock.monotonicMs();
    try {
      analog.setUp(found, mapping);
    } catch (error) {
      // The other pins are what they should be.
      context.fault(error);
    }
    pins.ready(found);
    cancelWait?.();
    beat();
    show();
    settle?.();
  }

  show();
  stream.onState((state, reason) => {
    if (state === "open") begin();
    else lose(reason);
  });
  stream.onData((bytes) => parser.push(bytes));
  if (stream.state() === "open") begin();
  else lose(stream.reason());
  const cancelOffer = context.offer(pins.chip);

  const settled = new Promise<void>((resolve) => {
    const cancel = clock.after(readyMs, resolve);
    settle = () => {
      cancel();
      resolve();
    };
  });

  const device: Device = {
    functions: {
      state: defineFunction({
        summary: "whether the Arduino is there, its protocol version, pins and how many are in use, broken messages",
        params: z.strictObject({}),
        effect: "read",
        call: () => ({
          connected: isReady,
          version: version ?? null,
          pins: found.length,
          ports: pins.open,
          broken: parser.broken,
          port: stream.reason(),
        }),
      }),
    },
    async close() {
      cancelOffer();
      await Promise.race([
        pins.unused(),
        new Promise<void>((resolve) => {
          settle = clock.after(CLOSE_MS, resolve);
        }),
      ]);
      settle?.();
      cancelWait?.();
      pins.lose(`${context.id} is closed`);
      await stream.close();
    },
  };
  return { device, settled };
}
