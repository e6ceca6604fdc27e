import { GPS } from "gps";

/** What one sentence says; what it leaves open is absent. */
export interface NmeaValues {
  /** Whether a position was measured. Dead reckoning, a position typed in and a simulator's are none. */
  readonly fix?: boolean;
  readonly latitude?: number;
  readonly longitude?: number;
  readonly altitudeM?: number;
  readonly speedMps?: number;
  readonly courseDeg?: number;
  readonly satellites?: number;
  readonly hdop?: number;
  /** UTC, ISO 8601. */
  readonly time?: string;
}

/** Qualities of GGA that say the position was measured: by satellites alone, with corrections, encrypted service, carrier phase. */
const MEASURED_QUALITIES: ReadonlySet<string | null> = new Set(["fix", "dgps-fix", "pps-fix", "rtk", "rtk-float"]);

/** Mode of RMC and GLL since NMEA 2.3; older receivers leave it out. */
const UNMEASURED_MODES: ReadonlySet<string | null> = new Set(["estimated", "manual input", "simulated", "not valid"]);

const KNOT_MPS = 1852 / 3600;

const NUMBER = /^[+-]?\d{1,9}(\.\d{0,9})?$/;

/** A field as it must look for a number to be taken from it; undefined where it is empty. */
function numberIn(field: string | undefined, minimum: number, maximum: number): number | undefined {
  if (field === undefined || field === "") return undefined;
  const value = Number(field);
  if (!NUMBER.test(field) || value < minimum || value > maximum) throw new RangeError(`field ${field}`);
  return value;
}

const LATITUDE = /^[0-8]\d[0-5]\d(\.\d{0,9})?$|^9000(\.0{0,9})?$/;
const LONGITUDE = /^(0\d\d|1[0-7]\d)[0-5]\d(\.\d{0,9})?$|^18000(\.0{0,9})?$/;

/** Whether the four fields from `at` on are a position; empty ones are none, others are a mistake. */
function hasPosition(fields: readonly string[], at: number): boolean {
  const [latitude = "", northSouth = "", longitude = "", eastWest = ""] = fields.slice(at, at + 4);
  if (latitude === "" && longitude === "") return false;
  if (!LATITUDE.test(latitude) || !LONGITUDE.test(longitude) || !/^[NS]$/.test(northSouth) || !/^[EW]$/.test(eastWest)) {
    throw new RangeError(`position ${latitude} ${northSouth} ${longitude} ${eastWest}`);
  }
  return true;
}

const CLOCK = /^([01]\d|2[0-3])[0-5]\d([0-5]\d|60)(\.\d{0,9})?$/;
const DATE = /^(0[1-9]|[12]\d|3[01])(0[1-9]|1[0-2])\d\d$/;

/** Only with the day: the package takes today's where there is none. */
function timeOf(time: Date | null, clock: string | undefined, date: string | undefined): string | undefined {
  if (time === null || clock === undefined || clock === "" || date === undefined || date === "") return undefined;
  if (!CLOCK.test(clock) || !DATE.test(date) || Number.isNaN(time.getTime())) throw new RangeError(`time ${clock} ${date}`);
  return time.toISOString();
}

type Open<T> = { readonly [Name in keyof T]: T[Name] | undefined };

function known(values: Open<NmeaValues>): NmeaValues {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

type Sentence<Type> = Extract<Exclude<ReturnType<typeof GPS.Parse>, false>, { readonly type: Type }>;

interface Place {
  readonly lat: number | null;
  readonly lon: number | null;
}

function positionOf({ lat, lon }: Place): Open<NmeaValues> {
  return { latitude: lat ?? undefined, longitude: lon ?? undefined };
}

function speedMpsIn(field: string | undefined): number | undefined {
  const speedKnots = numberIn(field, 0, 10_000);
  return speedKnots === undefined ? undefined : speedKnots * KNOT_MPS;
}

function valuesOfGga(parsed: Sentence<"GGA">, fields: readonly string[]): Open<NmeaValues> {
  const satellites = numberIn(fields[7], 0, 255);
  if (!MEASURED_QUALITIES.has(parsed.quality) || !hasPosition(fields, 2)) return { fix: false, satellites };
  return {
    fix: true,
    ...positionOf(parsed),
    altitudeM: numberIn(fields[9], -1000, 100_000),
    satellites,
    hdop: numberIn(fields[8], 0, 100),
  };
}

function valuesOfRmc(parsed: Sentence<"RMC">, fields: readonly string[]): Open<NmeaValues> {
  const time = timeOf(parsed.time, fields[1], fields[9]);
  if (parsed.status !== "active" || UNMEASURED_MODES.has(parsed.faa) || !hasPosition(fields, 3)) return { fix: false, time };
  return { fix: true, time, ...positionOf(parsed), speedMps: speedMpsIn(fields[7]), courseDeg: numberIn(fields[8], 0, 360) };
}

function valuesOfGll(parsed: Sentence<"GLL">, fields: readonly string[]): Open<NmeaValues> {
  const fix = parsed.status === "active" && !UNMEASURED_MODES.has(parsed.faa) && hasPosition(fields, 1);
  return fix ? { fix, ...positionOf(parsed) } : { fix };
}

function valuesOfVtg(parsed: Sentence<"VTG">, fields: readonly string[]): Open<NmeaValues> {
  if (UNMEASURED_MODES.has(parsed.faa)) return {};
  return { speedMps: speedMpsIn(fields[5]), courseDeg: numberIn(fields[1], 0, 360) };
}

/** A mode of 1 says that there is no fix. */
function valuesOfGsa(fields: readonly string[]): Open<NmeaValues> {
  return fields[2] === "1" ? { fix: false } : {};
}

function valuesOf(sentence: string): Open<NmeaValues> {
  const parsed = GPS.Parse(sentence);
  const fields = sentence.slice(0, -3).split(",");
  if (parsed === false) throw new RangeError(`sentence ${sentence}`);
  if (parsed.type === "GGA") return valuesOfGga(parsed, fields);
  if (parsed.type === "RMC") return valuesOfRmc(parsed, fields);
  if (parsed.type === "GLL") return valuesOfGll(parsed, fields);
  if (parsed.type === "VTG") return valuesOfVtg(parsed, fields);
  return valuesOfGsa(fields);
}

/**
 * What a sentence with the right checksum says: GGA, RMC, GLL, VTG and GSA of any talker. Undefined for another kind. Throws for one whose fields are not
 * what NMEA 0183 has in their place: a checksum of eight bits lets one of 256 damaged sentences pass.
 */
export function nmeaValues(sentence: string): NmeaValues | undefined {
  if (!/^\$[A-Z]{2}(GGA|RMC|GLL|VTG|GSA),/.test(sentence)) return undefined;
  return known(valuesOf(sentence));
}
