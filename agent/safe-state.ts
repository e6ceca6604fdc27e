import { messageOf, toAgentError } from "./contract/errors.ts";
import { createDeviceScope } from "./host/device-context.ts";
import { chipInClaim, createOffers, type Offers } from "./host/offers.ts";
import { within } from "./host/time-limit.ts";
import type { Board } from "./contract/board.ts";
import type { Clock } from "./contract/clock.ts";
import type { DeviceSpec } from "./contract/device.ts";
import type { I2cRef } from "./contract/i2c.ts";
import type { Log } from "./contract/log.ts";
import type { VariableReader, Variables, VariableValue } from "./contract/variable.ts";
import type { DeviceSafety, SafeReport } from "./keeper/safe-report.ts";

export interface SafeStateOptions {
  readonly specs: readonly DeviceSpec[];
  readonly openBoard: () => Promise<Board>;
  readonly clock: Clock;
  readonly log: Log;
  /** Time each device has once the board is open, milliseconds. */
  readonly limitMs: number;
  /** What is known besides: what is measured, and what the devices said before they were lost. */
  readonly variables?: Pick<VariableReader, "get"> | undefined;
}

/** In the agent's state folder: what its devices were opened from, for whoever has to make them safe when it is gone. */
export const SETUP_FILE = "devices.json";

/** Why there is nothing to do. */
const MEASURES = "it cannot move anything";

/** Ports are given back in this time or not at all. */
const RELEASE_MS = 500;

/** Opening the board is waited for longer than a device: without it nothing can be done, and it may have to be loaded first. */
const BOARD_MS = 10_000;

/** How claims name a chip on a bus: `i2c 1:0x40`, `pwm pca9685@1:0x40:3`. */
const I2C_CLAIM = /(?:^i2c |pca9685@)([^:]+):(0x[0-9a-f]+)/i;

/** Claims on what several processes can send on at a time: each CAN socket is one of its own. */
const SHARED_CLAIM = /^can /;

/** `can can0:0x200`. */
const CAN_CLAIM = /^can ([^:]+):/;

/** The lowest address a chip may have. */
const FIRST_ADDRESS = 0x08;

/** Makes devices safe whenever that is needed, as fast as it can. */
export interface Safety {
  /**
   * Loads what will be needed and opens the board, without what belongs to one device alone. To be called before there is need: this takes longer than writing.
   * Rejects with what is in the way.
   */
  prepare(): Promise<void>;
  /** As `writeSafeStates`; on the board that was prepared, if one was. */
  write(): Promise<SafeReport>;
  close(): Promise<void>;
}

export function createSafety(options: SafeStateOptions): Safety {
  let prepared: Board | undefined;
  let closed = false;
  const isNeeded = (): boolean => prepared === undefined && !closed;

  async function prepare(): Promise<void> {
    if (!isNeeded()) return;
    const board = await options.openBoard();
    const claims = options.specs.flatMap(({ driver, options: of }) => driver.claims(of));
    try {
      await loadBus(board, claims);
      await openCan(board, claims);
    } catch (error) {
      await board.close();
      throw error;
    }
    if (isNeeded()) prepared = board;
    else await board.close();
  }

  return {
    prepare,
    async write() {
      const board = prepared;
      prepared = undefined;
      const report = await writeSafeStates(board === undefined ? options : { ...options, openBoard: () => Promise.resolve(board) });
      return {
        ...report,
        async release() {
          await report.release();
          // Nobody waits for it: the next device host can start meanwhile.
          prepare().catch((error: unknown) => {
            options.log.warn({}, `the next time it will take longer: ${messageOf(error)}`);
          });
        },
      };
    },
    async close() {
      closed = true;
      await prepared?.close();
      prepared = undefined;
    },
  };
}

/** Nothing is sent: an address is opened that no device has, only to have the bus's code loaded. */
async function loadBus(board: Board, claims: readonly string[]): Promise<void> {
  const chips = claims.flatMap(chipOf);
  const [first] = chips;
  if (first === undefined) return;
  let address = FIRST_ADDRESS;
  while (chips.some((chip) => chip.address === address)) address += 1;
  const unused = await board.openI2c("safe-state", { bus: first.bus, address });
  unused.close();
}

/**
 * Nothing is sent here either. The channel stays open until the board is closed: whoever opens another one then need not wait for the thread that listens to CAN
 * interfaces, which takes longer to start than everything else that has to be done.
 */
async function openCan(board: Board, claims: readonly string[]): Promise<void> {
  const [name] = claims.flatMap((claim) => CAN_CLAIM.exec(claim)?.[1] ?? []);
  if (name !== undefined) await board.openCan("safe-state", name);
}

function chipOf(claim: string): readonly I2cRef[] {
  const [, bus, address] = I2C_CLAIM.exec(claim) ?? [];
  if (bus === undefined) return [];
  return [{ bus: /^\d+$/.test(bus) ? Number(bus) : bus, address: Number(address) }];
}

/**
 * Takes every device to its safe state from outside, whoever left it as it is: each is opened afresh by its driver, which begins in the safe state, and told
 * to go there. All at the same time, what moves first; only a device on another one's ports waits for that. One that fails or hangs keeps nobody else waiting.
 * The ports stay held until the report's `handOver` or `release`.
 * Devices with `onLoss: hold` are left alone, so is what only measures; disabled ones are not mentioned. Never rejects.
 */
export async function writeSafeStates(options: SafeStateOptions): Promise<SafeReport> {
  const { clock, log, limitMs } = options;
  const startMs = clock.monotonicMs();
  const specs = options.specs.filter(({ policy }) => policy.enabled).toSorted(whatMovesFirst);
  const opened = new Set<OpenedDevice>();
  const driven = new Map<string, VariableValue>();
  const offers = createOffers();
  /** The devices whose ports others use, while they are on their way. */
  const offering = new Map<string, Promise<DeviceSafety>>();
  let board: Board | undefined;

  function report(id: string, outcome: DeviceSafety["outcome"], reason?: string): DeviceSafety {
    return { id, outcome, tookMs: clock.monotonicMs() - startMs, reason };
  }

  function failure(id: string, thrown: unknown): DeviceSafety {
    const { code, message } = toAgentError(thrown);
    return report(id, "failed", `${code} ${message}`);
  }

  async function makeSafe(on: Board, spec: DeviceSpec): Promise<DeviceSafety> {
    const { id } = spec;
    if (spec.policy.onLoss === "hold") return report(id, "left", "onLoss: hold");
    if (spec.driver.actuates === false) return report(id, "left", MEASURES);
    try {
      const device = createOpenedDevice(spec, on, options, driven, offers);
      opened.add(device);
      const moves = await within(clock, limitMs, `${id}: making it safe`, device.makeSafe());
      return moves ? report(id, "safe") : report(id, "left", MEASURES);
    } catch (thrown) {
      return failure(id, thrown);
    }
  }

  /** A device on the ports of another one has to wait for that. */
  async function makeSafeInTurn(on: Board, spec: DeviceSpec): Promise<DeviceSafety> {
    await Promise.all(spec.driver.claims(spec.options).flatMap((claim) => offering.get(chipInClaim(claim) ?? "") ?? []));
    return makeSafe(on, spec);
  }

  async function openAndWrite(): Promise<readonly DeviceSafety[]> {
    try {
      const fresh = await within(clock, BOARD_MS, "opening the board", options.openBoard());
      board = fresh;
      for (const spec of specs) if (spec.driver.offers === true) offering.set(spec.id, makeSafe(fresh, spec));
      return await Promise.all(specs.map((spec) => offering.get(spec.id) ?? makeSafeInTurn(fresh, spec)));
    } catch (thrown) {
      return specs.map(({ id }) => failure(id, thrown));
    }
  }

  async function giveBack(which: (device: OpenedDevice) => boolean, then?: () => Promise<void> | undefined): Promise<void> {
    const given = [...opened].filter(which);
    for (const device of given) opened.delete(device);
    const work = Promise.all(given.map((device) => device.close())).then(() => then?.());
    await within(clock, RELEASE_MS, "giving the ports back", work).catch((error: unknown) => {
      log.warn({}, messageOf(error));
    });
  }

  const devices = await openAndWrite();
  return {
    devices,
    tookMs: clock.monotonicMs() - startMs,
    allSafe: devices.every(({ outcome }) => outcome !== "failed"),
    async handOver() {
      const last = Object.fromEntries(driven);
      await giveBack(({ shares }) => !shares);
      return last;
    },
    letGo: (id) => giveBack((device) => device.id === id),
    release: () => giveBack(all, () => board?.close()),
  };
}

function all(): boolean {
  return true;
}

function whatMovesFirst(a: DeviceSpec, b: DeviceSpec): number {
  return Number(b.driver.moves) - Number(a.driver.moves);
}

/** A device that is opened to be made safe, for nobody to call. */
interface OpenedDevice {
  readonly id: string;
  /** Another process can drive it at the same time. */
  readonly shares: boolean;
  /** Opens it and takes it to its safe state; false when it cannot move anything and was closed again. Rejects with what went wrong first. */
  makeSafe(): Promise<boolean>;
  /** Never rejects. */
  close(): Promise<void>;
}

/** What moves says in `driven` what it drives; what others publish interests nobody. */
function createOpenedDevice(
  { id, driver, options }: DeviceSpec,
  board: Board,
  { clock, log, variables: known }: SafeStateOptions,
  driven: Map<string, VariableValue>,
  offers: Offers,
): OpenedDevice {
  const variables: Pick<Variables, "get" | "set"> = {
    get: (name) => known?.get(name),
    set(name, value) {
      if (driver.moves) driven.set(name, value);
    },
  };
  const claims = driver.claims(options);
  const faults: unknown[] = [];
  function fault(error: unknown): void {
    faults.push(error);
    log.warn({ device: id }, `${id}: ${messageOf(error)}`);
  }
  const scope = createDeviceScope({ id, board, clock, variables, log, fault, offers });
  let closeDevice: (() => unknown) | undefined;

  async function close(): Promise<void> {
    const closing = closeDevice;
    closeDevice = undefined;
    try {
      await closing?.();
    } catch (error) {
      log.warn({ device: id }, `${id} did not close: ${messageOf(error)}`);
    }
    await scope.end();
  }

  return {
    id,
    shares: claims.length > 0 && claims.every((claim) => SHARED_CLAIM.test(claim)),
    async makeSafe() {
      const device = await driver.open(scope.context, options);
      closeDevice = () => device.close();
      if (device.failsafe !== undefined) await device.failsafe("safe");
      else if (driver.offers !== true) await close();
      if (faults.length > 0) throw faults[0];
      return device.failsafe !== undefined;
    },
    close,
  };
}
