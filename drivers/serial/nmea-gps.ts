import { z } from "zod";

import { createNmeaDecoder } from "./nmea-sentences.ts";
import { defineDriver, defineFunction, STILL_LEASE, type Device, type DeviceContext } from "../../agent/contract/device.ts";
import { nmeaValues, type NmeaValues } from "./nmea-values.ts";
import { serialOptionsShape, type SerialStream } from "../../agent/contract/serial.ts";

/** Receivers send once a second as they come from the factory; three of them missing is a loss. */
const FRESH_MS = 3000;

const optionsSchema = z.strictObject({
  ...serialOptionsShape(9600),
  freshMs: z.int().min(100).max(60_000).default(FRESH_MS).describe("how long one sentence may be relied on, milliseconds"),
  maxSentenceBytes: z
    .int()
    .min(82)
    .max(1024)
    .default(128)
    .describe("bytes of one sentence; 82 by the standard, and some receivers send longer ones"),
});

type GpsOptions = z.output<typeof optionsSchema>;

/** What is published under which name. */
const PUBLISHED = {
  latitude: "latitude",
  longitude: "longitude",
  altitudeM: "altitude_m",
  speedMps: "speed_mps",
  courseDeg: "course_deg",
  satellites: "satellites",
  hdop: "hdop",
  time: "time",
} as const;

type Measured = keyof typeof PUBLISHED;

const MEASURED = Object.keys(PUBLISHED) as readonly Measured[];

/**
 * A satellite receiver that speaks NMEA 0183. Publishes `fix`, and as far as its sentences say them `latitude` and `longitude` (degrees, WGS 84, north and
 * east positive), `altitude_m` (above mean sea level), `speed_mps`, `course_deg` (clockwise from true north), `satellites` (used), `hdop` and `time` (UTC). Without a
 * fix nothing measured is published: what was there goes stale.
 */
export const nmeaGpsDriver = defineDriver({
  name: "nmea-gps",
  summary: "position, speed, course and time by a satellite receiver on a serial port",
  options: optionsSchema,
  moves: false,
  actuates: false,
  lease: STILL_LEASE,
  claims: ({ path }) => [`serial ${path}`],
  entities: () => [
    { kind: "binary_sensor", key: "fix", state: { on: "fix" } },
    { kind: "sensor", key: "latitude", state: { value: "latitude" }, unit: "°", stateClass: "measurement", digits: 6 },
    { kind: "sensor", key: "longitude", state: { value: "longitude" }, unit: "°", stateClass: "measurement", digits: 6 },
    {
      kind: "sensor",
      key: "altitude",
      state: { value: "altitude_m" },
      unit: "m",
      deviceClass: "distance",
      stateClass: "measurement",
      digits: 1,
    },
    {
      kind: "sensor",
      key: "speed",
      state: { value: "speed_mps" },
      unit: "m/s",
      deviceClass: "speed",
      stateClass: "measurement",
      digits: 1,
    },
    { kind: "sensor", key: "course", state: { value: "course_deg" }, unit: "°", stateClass: "measurement", digits: 0 },
    { kind: "sensor", key: "satellites", category: "diagnostic", state: { value: "satellites" }, stateClass: "measurement" },
    { kind: "sensor", key: "hdop", category: "diagnostic", state: { value: "hdop" }, stateClass: "measurement", digits: 1 },
  ],
  async open(context, options) {
    return createGps(context, await context.board.openSerial(context.id, options.path, options), options);
  },
});

function createGps(context: DeviceContext, stream: SerialStream, { freshMs, maxSentenceBytes }: GpsOptions): Device {
  const { clock } = context;
  const latest = new Map<Measured, { readonly value: number | string; readonly atMs: number }>();
  let fixAtMs = -Infinity;
  let published: boolean | undefined;
  let ignored = 0;
  let malformed = 0;

  const isFresh = (atMs: number): boolean => clock.monotonicMs() - atMs <= freshMs;

  function showFix(): void {
    const fix = isFresh(fixAtMs);
    if (fix === published) return;
    published = fix;
    context.publish("fix", fix);
  }

  function lose(): void {
    fixAtMs = -Infinity;
    for (const name of MEASURED) if (name !== "satellites" && name !== "time") latest.delete(name);
  }

  function take(values: NmeaValues): void {
    const atMs = clock.monotonicMs();
    if (values.fix === false) lose();
    else if (values.fix === true) fixAtMs = atMs;
    for (const name of MEASURED) {
      const value = values[name];
      // Speed and course of a sentence that does not say whether there is a fix count while there is one.
      const trusted = name === "satellites" || name === "time" || isFresh(fixAtMs);
      if (value === undefined || !trusted) continue;
      latest.set(name, { value, atMs });
      context.publish(PUBLISHED[name], value, freshMs);
    }
    showFix();
  }

  const decoder = createNmeaDecoder(maxSentenceBytes, (sentence) => {
    let values: NmeaValues | undefined;
    try {
      values = nmeaValues(sentence);
    } catch (thrown) {
      // The package throws for fields it cannot read, and so does the check of the rest.
      if (!(thrown instanceof Error)) throw thrown;
      malformed += 1;
      return;
    }
    if (values === undefined) ignored += 1;
    else take(values);
  });

  function known(name: Measured): number | string | null {
    const found = latest.get(name);
    return found !== undefined && isFresh(found.atMs) ? found.value : null;
  }

  showFix();
  const cancelLook = context.every(freshMs, showFix);
  stream.onState(() => decoder.restart());
  stream.onData((bytes) => decoder.push(bytes));
  return {
    functions: {
      position: defineFunction({
        summary: "whether there is a fix, and what is known now: degrees, metres, metres per second; null for what is not",
        params: z.strictObject({}),
        effect: "read",
        call: () => ({ fix: isFresh(fixAtMs), ...Object.fromEntries(MEASURED.map((name) => [name, known(name)])) }),
      }),
      status: defineFunction({
        summary: "the port's state, sentences, those of other kinds or malformed, wrong checksums, bytes that belong to no sentence",
        params: z.strictObject({}),
        effect: "read",
        call: () => ({ port: stream.state(), reason: stream.reason(), ...decoder.counters(), ignored, malformed }),
      }),
    },
    close() {
      cancelLook();
      return stream.close();
    },
  };
}
