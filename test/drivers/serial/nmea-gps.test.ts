import fc from "fast-check";
import t from "tap";

import { callDevice, createFakeDeviceContext, openDevice } from "../../helpers/fake-device-context.ts";
import { createNmeaDecoder } from "../../../drivers/serial/nmea-sentences.ts";
import { createSimGps, nmeaSentence } from "../../../drivers/board/sim/instruments/gps.ts";
import { nmeaGpsDriver } from "../../../drivers/serial/nmea-gps.ts";
import { nmeaValues } from "../../../drivers/serial/nmea-values.ts";

const PATH = "/dev/serial/by-id/usb-u-blox_7-if00";

/** The examples of Wikipedia's article "NMEA 0183" and of gpsd's "NMEA Revealed" (gpsd.gitlab.io/gpsd/NMEA.html), each with its own checksum. */
const RECORDED = {
  gga: "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47",
  rmc: "$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A",
  gsa: "$GPGSA,A,3,04,05,,09,12,,,24,,,,,2.5,1.3,2.1*39",
  vtg: "$GPVTG,054.7,T,034.4,M,005.5,N,010.2,K*48",
  gll: "$GPGLL,4916.45,N,12311.12,W,225444,A,*1D",
};

t.test("recorded sentences mean what their sources say", (t) => {
  t.same(nmeaValues(RECORDED.gga), {
    fix: true,
    latitude: 48 + 7.038 / 60,
    longitude: 11 + 31 / 60,
    altitudeM: 545.4,
    satellites: 8,
    hdop: 0.9,
  });
  t.same(nmeaValues(RECORDED.rmc), {
    fix: true,
    time: "1994-03-23T12:35:19.000Z",
    latitude: 48 + 7.038 / 60,
    longitude: 11 + 31 / 60,
    speedMps: 22.4 * (1852 / 3600),
    courseDeg: 84.4,
  });
  t.same(nmeaValues(RECORDED.gll), { fix: true, latitude: 49 + 16.45 / 60, longitude: -(123 + 11.12 / 60) });
  t.same(nmeaValues(RECORDED.vtg), { speedMps: 5.5 * (1852 / 3600), courseDeg: 54.7 });
  t.same(nmeaValues(RECORDED.gsa), {});
  t.equal(nmeaValues("$GPGSV,1,1,00*79"), undefined, "a kind nothing is taken from");
  t.end();
});

t.test("what says that it is not measured is not taken", (t) => {
  for (const body of [
    "GPGGA,123519,4807.038,N,01131.000,E,0,08,0.9,545.4,M,46.9,M,,",
    "GPGGA,123519,4807.038,N,01131.000,E,6,08,0.9,545.4,M,46.9,M,,",
    "GPGGA,123519,4807.038,N,01131.000,E,7,08,0.9,545.4,M,46.9,M,,",
    "GPGGA,123519,4807.038,N,01131.000,E,8,08,0.9,545.4,M,46.9,M,,",
    "GPGGA,123519,,,,,1,08,0.9,545.4,M,46.9,M,,",
    "GPRMC,123519,V,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W",
    "GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W,E",
    "GPGLL,4916.45,N,12311.12,W,225444,V,",
    "GPGSA,A,1,,,,,,,,,,,,,99.9,99.9,99.9",
  ]) {
    const values = nmeaValues(nmeaSentence(body).trim());
    t.equal(values?.fix, false, body);
    t.same([values?.latitude, values?.altitudeM, values?.speedMps, values?.hdop], [undefined, undefined, undefined, undefined], body);
  }
  t.same(nmeaValues(nmeaSentence("GPVTG,054.7,T,,M,005.5,N,010.2,K,N").trim()), {});
  t.notHas(nmeaValues(nmeaSentence("GPRMC,123519,A,4807.038,N,01131.000,E,,,,,").trim()), { time: /./ }, "no day, no time");
  t.end();
});

t.test("fields that are not what belongs in their place are malformed, whatever the checksum says", (t) => {
  for (const body of [
    "GPGGA,123519,9107.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,",
    "GPGGA,123519,4867.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,",
    "GPGGA,123519,4807.038,X,01131.000,E,1,08,0.9,545.4,M,46.9,M,,",
    "GPGGA,123519,4807.038,N,18131.000,E,1,08,0.9,545.4,M,46.9,M,,",
    "GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,5x5.4,M,46.9,M,,",
    "GPRMC,123519,A,4807.038,N,01131.000,E,022.4,384.4,230394,003.1,W",
    "GPRMC,253519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W",
    "GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,231394,003.1,W",
    "GPGSA,X,3,04,05,,09,12,,,24,,,,,2.5,1.3,2.1",
  ]) {
    t.throws(() => nmeaValues(nmeaSentence(body).trim()), Error, body);
  }
  t.end();
});

/** What a decoder makes of the bytes, cut into pieces. */
function decode(pieces: readonly Uint8Array[]) {
  const sentences: string[] = [];
  const decoder = createNmeaDecoder(128, (text) => sentences.push(text));
  for (const piece of pieces) decoder.push(piece);
  const { sentences: counted, badChecksums, garbageBytes } = decoder.counters();
  return { sentences, counted, badChecksums, garbageBytes };
}

const STREAM = Buffer.from(`${RECORDED.gga}\r\n${RECORDED.rmc}\n${RECORDED.vtg}\r\n`, "latin1");

t.test("sentences are found however the bytes are cut", (t) => {
  const whole = decode([STREAM]);
  t.same(whole.sentences, [RECORDED.gga, RECORDED.rmc, RECORDED.vtg]);
  t.same([whole.counted, whole.badChecksums, whole.garbageBytes], [3, 0, 0]);
  for (let at = 0; at <= STREAM.length; at++) t.same(decode([STREAM.subarray(0, at), STREAM.subarray(at)]), whole);
  t.same(decode([...STREAM].map((byte) => Uint8Array.of(byte))), whole);
  t.end();
});

t.test("no damage of one byte, nor a byte lost or too many, makes a sentence of what was none", (t) => {
  const good = new Set([RECORDED.gga, RECORDED.rmc, RECORDED.vtg]);
  fc.assert(
    fc.property(fc.nat(STREAM.length - 1), fc.nat(255), fc.constantFrom("change", "lose", "insert"), (at, byte, how) => {
      const after = STREAM.subarray(how === "insert" ? at : at + 1);
      const damaged = [STREAM.subarray(0, at), how === "lose" ? Buffer.alloc(0) : Uint8Array.of(byte), after];
      const { sentences } = decode(damaged);
      // A letter of the checksum may come in the other case, and NUL may be part of no sentence: it changes no exclusive or.
      return sentences.every((text) => good.has(text) || good.has(text.toUpperCase()));
    }),
    { numRuns: 3000 },
  );
  t.end();
});

t.test("garbage and what never ends are counted and held within bounds", (t) => {
  const noise = decode([Buffer.from("\x00\xffnoise\r\n", "latin1"), Buffer.from(`$${"A".repeat(10_000)}\r\n`), STREAM]);
  t.equal(noise.counted, 3);
  t.equal(noise.garbageBytes, 7 + 10_001, "line ends are not counted");
  const wrong = decode([Buffer.from(RECORDED.gga.replace("*47", "*48")), Buffer.from("\r\n$GPGGA,no checksum\r\n")]);
  t.same([wrong.counted, wrong.badChecksums], [0, 1]);
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 10 }), (pieces) => {
      const { sentences } = decode(pieces);
      return sentences.every((text) => text.length <= 128);
    }),
  );
  t.end();
});

async function openGps(options: Readonly<Record<string, unknown>> = {}) {
  const context = createFakeDeviceContext({ id: "gps" });
  const world = context.board.world.serial(PATH);
  const gps = createSimGps();
  world.attach(gps);
  const device = await openDevice(nmeaGpsDriver, context, { path: PATH, ...options });
  return { context, world, gps, device };
}

const FIX = [RECORDED.gga, RECORDED.rmc].map((sentence) => sentence.slice(1, -3));

t.test("a receiver without a fix publishes that, and nothing it did not measure", async (t) => {
  const { context, gps, device } = await openGps();
  await context.clock.advance(5000);
  t.same(
    [...context.latest],
    [
      ["fix", false],
      ["satellites", 0],
    ],
  );
  t.match(await callDevice(device, "position"), { fix: false, latitude: null, longitude: null, speedMps: null });
  gps.say(FIX);
  await context.clock.advance(1000);
  t.same(Object.fromEntries(context.latest), {
    fix: true,
    satellites: 8,
    latitude: 48 + 7.038 / 60,
    longitude: 11 + 31 / 60,
    altitude_m: 545.4,
    hdop: 0.9,
    speed_mps: 22.4 * (1852 / 3600),
    course_deg: 84.4,
    time: "1994-03-23T12:35:19.000Z",
  });
  t.match(await callDevice(device, "position"), { fix: true, latitude: 48 + 7.038 / 60, courseDeg: 84.4 });
  const before = context.published.length;
  gps.say(["GPGGA,,,,,,0,00,99.99,,,,,,"]);
  await context.clock.advance(3000);
  t.same([...new Set(context.published.slice(before))], ["gps.satellites=0", "gps.fix=false"], "positions are not published again");
  t.match(await callDevice(device, "position"), { fix: false, latitude: null, satellites: 0 });
  await device.close();
  t.equal(context.clock.pending(), 1, "only the receiver's own timer is left");
});

t.test("a receiver that falls silent or is pulled has no fix, and one that comes back has", async (t) => {
  const { context, world, gps, device } = await openGps({ retryMinMs: 10 });
  gps.say(FIX);
  await context.clock.advance(2000);
  t.equal(context.latest.get("fix"), true);
  world.send(RECORDED.gga.slice(0, 30));
  world.unplug();
  await context.clock.advance(7000);
  t.equal(context.latest.get("fix"), false);
  t.match(await callDevice(device, "position"), { fix: false, latitude: null, time: null });
  t.match(await callDevice(device, "status"), { port: "waiting", reason: /is not there/, garbageBytes: 30 });
  world.plug();
  await context.clock.advance(7000);
  t.equal(context.latest.get("fix"), true);
  t.match(await callDevice(device, "status"), { port: "open", badChecksums: 0 });
  t.same(context.faults, []);
  await device.close();
});

t.test("damaged and malformed sentences are counted and change nothing", async (t) => {
  const { context, world, device } = await openGps({ silentMs: 0 });
  const before = context.published.length;
  world.send(`${RECORDED.gga.replace("4807", "4907")}\r\n`);
  world.send(nmeaSentence("GPGGA,123519,9907.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,"));
  world.send(nmeaSentence("GPGSV,1,1,00"));
  t.equal(context.published.length, before);
  t.match(await callDevice(device, "status"), { sentences: 2, badChecksums: 1, malformed: 1, ignored: 1 });
  await device.close();
});
