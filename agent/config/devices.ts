import type { z } from "zod";

import { nearest } from "../contract/nearest.ts";
import { orList } from "./expectation.ts";
import { deviceCommonSchema } from "./schema.ts";
import { chipInClaim } from "../host/offers.ts";
import { check, found } from "./schema-problems.ts";
import type { BoardDefinition } from "../contract/board-definition.ts";
import type { DeviceModule, Driver } from "../contract/device.ts";
import type { BoardChoice } from "./board-file.ts";
import type { Position, Problem } from "./problem.ts";
import type { DeviceCommon } from "./schema.ts";
import type { Path, YamlSource } from "./yaml-source.ts";

/** A device as it will be opened. */
export interface ConfiguredDevice {
  readonly id: string;
  readonly driver: Driver;
  readonly common: DeviceCommon;
  /** What `driver.options` made of its part. */
  readonly options: z.output<z.ZodObject>;
  /** Where the device is written. */
  readonly position: Position;
}

/** A device whose driver a module of others brings: only the device host can check its own options, once it has loaded that module. */
export interface PendingDevice {
  readonly id: string;
  /** Name of the driver. */
  readonly driver: string;
  readonly common: DeviceCommon;
  /** What is written beside the common options. */
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface CheckedDevices {
  readonly devices: readonly ConfiguredDevice[];
  readonly pending: readonly PendingDevice[];
  /** Every id in the file, of devices without and with mistakes. */
  readonly ids: readonly string[];
  readonly problems: readonly Problem[];
}

type Fields = Readonly<Record<string, unknown>>;

const COMMON_KEYS: readonly string[] = Object.keys(deviceCommonSchema.shape);

/**
 * Each device against the common options and its driver's; then all of them for ports that two of them want. With `othersModules` a driver that is
 * not there may be one of theirs.
 */
export function checkDevices(
  source: YamlSource,
  raw: unknown,
  modules: readonly DeviceModule[],
  board: BoardChoice,
  othersModules: boolean,
): CheckedDevices {
  const drivers = new Map(modules.flatMap((module) => module.drivers.map((driver) => [driver.name, driver] as const)));
  const devices: ConfiguredDevice[] = [];
  const pending: PendingDevice[] = [];
  const problems: Problem[] = [];
  const entries = isFields(raw) ? Object.entries(raw) : [];
  for (const [id, fields] of entries) {
    const path = ["devices", id];
    if (Object.hasOwn(Object.prototype, id)) {
      problems.push(source.problem(path, "key", `a device cannot be named ${id}`, "choose another name"));
      continue;
    }
    // What is no map, or has no driver, was reported with the file's outer shape.
    if (!isFields(fields) || typeof fields["driver"] !== "string") continue;
    const checked = checkDevice(source, path, id, fields, fields["driver"], drivers, othersModules);
    if ("device" in checked) devices.push(checked.device);
    else if ("pending" in checked) pending.push(checked.pending);
    else problems.push(...checked.problems);
  }
  const ids = entries.map(([id]) => id);
  const open = devices.filter(({ common }) => common.enabled);
  problems.push(...sharedPorts(source, open, board), ...splitChips(source, open), ...missingLines(source, open, ids, board));
  return { devices, pending, ids, problems };
}

type CheckedDevice =
  { readonly device: ConfiguredDevice } | { readonly pending: PendingDevice } | { readonly problems: readonly Problem[] };

function checkDevice(
  source: YamlSource,
  path: Path,
  id: string,
  fields: Fields,
  driverName: string,
  drivers: ReadonlyMap<string, Driver>,
  othersModules: boolean,
): CheckedDevice {
  const common = check(
    source,
    path,
    only(fields, (key) => COMMON_KEYS.includes(key)),
    deviceCommonSchema,
  );
  const own = only(fields, (key) => !COMMON_KEYS.includes(key));
  const driver = drivers.get(driverName);
  if (driver === undefined && othersModules && common.value !== undefined) {
    return { pending: { id, driver: driverName, common: common.value, fields: own } };
  }
  if (driver === undefined) {
    const meant = nearest(driverName, drivers.keys());
    const suggestion = meant === undefined ? `there is ${orList([...drivers.keys()])}` : `did you mean ${meant}?`;
    const unknown = source.problem([...path, "driver"], "value", `no driver is called ${found(driverName)}`, suggestion);
    return { problems: [unknown, ...(common.problems ?? [])] };
  }
  // A schema that is not strict would drop what it does not know, and who wrote it would wait for an effect.
  const schema = driver.options.def.catchall === undefined ? driver.options.strict() : driver.options;
  const options = check(source, path, own, schema, COMMON_KEYS);
  const problems = [...(common.problems ?? []), ...(options.problems ?? [])];
  if (common.value !== undefined) problems.push(...policyProblems(source, path, common.value, driver));
  if (problems.length > 0 || common.value === undefined || options.value === undefined) return { problems };
  return { device: { id, driver, common: common.value, options: options.value, position: source.position(path, "key") } };
}

/** What the driver allows of the common options. */
function policyProblems(source: YamlSource, path: Path, common: DeviceCommon, driver: Driver): readonly Problem[] {
  const problems: Problem[] = [];
  const lease = leaseProblem(source, [...path, "leaseMs"], common.leaseMs, driver);
  if (lease !== undefined) problems.push(lease);
  if (driver.moves && common.onLoss === "hold") {
    const reason = `${path.join(".")}.onLoss is "hold", and a ${driver.name} moves: it must not go on without orders`;
    problems.push(source.problem([...path, "onLoss"], "value", reason, "write safe, off or a value"));
  }
  return problems;
}

/** A lease outside of what the driver allows. */
export function leaseProblem(source: YamlSource, path: Path, leaseMs: number | undefined, driver: Driver): Problem | undefined {
  const { floorMs, ceilingMs } = driver.lease;
  if (leaseMs === undefined || (leaseMs >= floorMs && leaseMs <= ceilingMs)) return undefined;
  const bound = leaseMs < floorMs ? `below ${floorMs} ms` : `above ${ceilingMs} ms`;
  return source.problem(
    path,
    "value",
    `${path.join(".")} is ${leaseMs}, ${bound}`,
    `a ${driver.name} takes leases from ${floorMs} to ${ceilingMs} ms`,
  );
}

interface Claim {
  readonly device: ConfiguredDevice;
  readonly text: string;
  readonly position: Position;
}

function sharedPorts(source: YamlSource, devices: readonly ConfiguredDevice[], board: BoardChoice): readonly Problem[] {
  const first = new Map<string, Claim>();
  const problems: Problem[] = [];
  for (const device of devices) {
    for (const text of device.driver.claims(device.options)) {
      const path = claimPath(source, device.id, text);
      const claim = { device, text, position: source.position(path, "value") };
      const key = canonical(text, board);
      const earlier = first.get(key);
      if (earlier === undefined) first.set(key, claim);
      else problems.push({ file: source.file, ...claim.position, ...sharedPort(source.file, earlier, claim) });
    }
  }
  return problems;
}

/** The channels of one PCA9685 share its period and its sleep, so one board has to drive them all: the motion thread has a board of its own. */
function* splitChips(source: YamlSource, devices: readonly ConfiguredDevice[]): Generator<Problem> {
  const first = new Map<string, ConfiguredDevice>();
  for (const device of devices) {
    for (const claim of device.driver.claims(device.options).filter((text) => text.startsWith("pwm pca9685@"))) {
      const chip = claim.slice("pwm ".length, claim.lastIndexOf(":"));
      const earlier = first.get(chip);
      first.set(chip, earlier ?? device);
      if (earlier === undefined || earlier.driver.thread === device.driver.thread) continue;
      const reason = `channels of ${chip} are used by ${earlier.id} and by ${device.id}, of which one runs in the motion thread and the other does not`;
      yield source.problem(claimPath(source, device.id, claim), "value", reason, "give the vehicle a PCA9685 of its own");
    }
  }
}

/** Lines of a board that has none. What is called as a device is may be a chip that it offers, whose pins are not the board's. */
function* missingLines(
  source: YamlSource,
  devices: readonly ConfiguredDevice[],
  ids: readonly string[],
  board: BoardChoice,
): Generator<Problem> {
  if (typeof board === "string" || board.kind !== "linux" || board.gpio !== "none") return;
  for (const { id, driver, options } of devices) {
    for (const claim of driver.claims(options)) {
      if (!claim.startsWith("line ") || ids.includes(chipInClaim(claim) ?? "")) continue;
      const reason = `${id} uses ${claim}, and board ${board.name} has no GPIO (gpio: none)`;
      const suggestion = "write board: auto on a machine with GPIO, or board: sim to run without hardware";
      yield source.problem(claimPath(source, id, claim), "value", reason, suggestion);
    }
  }
}

function sharedPort(file: string, earlier: Claim, claim: Claim): { reason: string; suggestion: string } {
  const port = earlier.text === claim.text ? claim.text : `${claim.text} (which is ${earlier.text})`;
  if (earlier.device.id === claim.device.id) {
    return { reason: `${claim.device.id} uses ${port} twice`, suggestion: "name two ports" };
  }
  const place = `${file}:${earlier.position.line}:${earlier.position.column}`;
  return {
    reason: `${port} is used by ${earlier.device.id} (${place}) and by ${claim.device.id}`,
    suggestion: "give one of them another port",
  };
}

/** One port has one text, by whichever of its names a device asks for it, as far as the board file knows them. */
function canonical(claim: string, board: BoardChoice): string {
  if (typeof board === "string") return claim;
  const space = claim.indexOf(" ");
  const kind = claim.slice(0, space);
  const name = claim.slice(space + 1);
  return `${kind} ${kind === "pwm" ? canonicalPwm(name, board) : (board.lines[name] ?? name)}`;
}

function canonicalPwm(name: string, board: BoardDefinition): string {
  const alias = board.pwm[name.slice(0, name.lastIndexOf(":"))];
  return alias === undefined ? name : `${alias.chip}:${alias.channel}`;
}

/** The option that names the port, else the one called like its kind, else the device. */
function claimPath(source: YamlSource, id: string, claim: string): Path {
  const devices = isFields(source.data) ? source.data["devices"] : undefined;
  const fields = isFields(devices) ? devices[id] : undefined;
  const exact = textPath(fields, (text) => claim.endsWith(` ${text}`));
  return ["devices", id, ...(exact ?? [claim.slice(0, claim.indexOf(" "))])];
}

function textPath(value: unknown, wanted: (text: string) => boolean): Path | undefined {
  if (typeof value === "string") return wanted(value) ? [] : undefined;
  if (typeof value !== "object" || value === null) return undefined;
  const steps = Array.isArray(value) ? value.keys() : Object.keys(value);
  for (const step of steps) {
    const inner = textPath((value as Fields)[step], wanted);
    if (inner !== undefined) return [step, ...inner];
  }
  return undefined;
}

function only(fields: Fields, wanted: (key: string) => boolean): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => wanted(key)));
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
