import { AgentError, messageOf, toAgentError } from "../contract/errors.ts";
import { createBinder, type Binder } from "./arguments.ts";
import { createDeviceScope, type DeviceScope } from "./device-context.ts";
import { chipInClaim, createOffers } from "./offers.ts";
import { mustNotShare, specOf, type PendingSpec } from "./pending.ts";
import { within } from "./time-limit.ts";
import type { Board } from "../contract/board.ts";
import type { Clock } from "../contract/clock.ts";
import type { Device, DeviceContext, DeviceFunction, DeviceSpec, Driver } from "../contract/device.ts";
import type { Log } from "../contract/log.ts";
import type { Eventually } from "../contract/value.ts";
import type { Variables } from "../contract/variable.ts";
import type { Supervisor } from "./supervisor.ts";
import type { Slot } from "./supervisor-slot.ts";

/** Detecting and resetting chips takes longer than a call; what takes longer than this hangs, milliseconds. */
const OPEN_MS = 5000;

/** A function that can be called, found by `device.function`. */
export interface Target {
  readonly slot: Slot;
  /** `beam` */
  readonly name: string;
  readonly fn: DeviceFunction;
  readonly bind: Binder;
}

/** What became of one device of the configuration. */
export interface Entry {
  /** Pending as long as its driver is not there, or does not accept its options. */
  readonly spec: DeviceSpec | PendingSpec;
  readonly outcome: "opened" | "skipped" | "failed";
  /** Why it was skipped or failed. */
  readonly reason: string | undefined;
  /** Present when opened. */
  readonly slot: Slot | undefined;
}

/** The devices of one node: opened, skipped or failed, with reasons. */
export interface Registry {
  /** Opens every device of the configuration; one that fails does not keep the others from opening. */
  openAll(): Promise<void>;
  /** Tries a failed device again. */
  reopen(id: string): Promise<Entry>;
  /** Opens the devices that only waited for one of these drivers, or were closed with an earlier one of that name. */
  openWith(drivers: readonly Driver[]): Promise<void>;
  /** Takes the devices of these drivers to their exit state and closes them; they are listed as failed, with the reason. The others notice nothing. */
  closeWith(drivers: readonly Driver[], reason: string, caller: string): Promise<void>;
  /** The ids of the devices, open or not, that these drivers are for. */
  idsOf(drivers: readonly Driver[]): readonly string[];
  entries(): readonly Entry[];
  entry(id: string): Entry | undefined;
  target(callName: string): Target | undefined;
  /** Every `device.function`, for suggestions. */
  callNames(): IterableIterator<string>;
  /** Closes by force what devices left open. For the end, when the supervisor has stopped. */
  end(): Promise<void>;
}

/** A device, and who else wants to know of its leases: see `Supervised`. */
export type OpenedDevice = Device & { readonly showLease?: ((untilMs: number) => void) | undefined };

/** Where drivers come from that were loaded at run time. */
export interface DriverSource {
  find(name: string): Driver | undefined;
  /** Why there is none of that name. */
  whyMissing(name: string): string;
}

export interface RegistryOptions {
  readonly specs: readonly DeviceSpec[];
  /** Devices of modules loaded at run time. */
  readonly pending?: readonly PendingSpec[] | undefined;
  /** Has their drivers. */
  readonly drivers?: DriverSource;
  readonly board: Board;
  readonly clock: Clock;
  readonly variables: Variables;
  readonly supervisor: Supervisor;
  readonly log: Log;
  /** Opens a device elsewhere than here. */
  readonly openDevice?: ((spec: DeviceSpec, context: DeviceContext) => Promise<OpenedDevice>) | undefined;
  /** Told `device lamp` before that device is opened, so that it can be named should the process not survive that, and undefined afterwards. */
  readonly onDoing?: ((text: string | undefined) => Eventually<void>) | undefined;
  /** What earlier processes did not survive, in the words of `onDoing`: left out, unless somebody asks for it. */
  readonly quarantine?: readonly string[] | undefined;
  /** Time limit of opening one device, milliseconds. */
  readonly openMs?: number | undefined;
  /** An earlier process ended without taking its devices to their exit states: `openAll` opens what moves first, and takes it to its safe state at once. */
  readonly afterDeath?: boolean | undefined;
}

export function createRegistry(options: RegistryOptions): Registry {
  const { drivers, board, clock, variables, supervisor, log, openMs = OPEN_MS } = options;
  const openDevice = options.openDevice ?? ((spec, context) => spec.driver.open(context, spec.options));
  const configured = new Map<string, DeviceSpec | PendingSpec>(
    [...options.specs, ...(options.pending ?? [])].map((spec) => [spec.id, spec]),
  );
  const entries = new Map<string, Entry>();
  const targets = new Map<string, Target>();
  const scopes = new Map<string, DeviceScope>();
  const opening = new Map<string, Promise<Entry>>();
  const offers = createOffers((label) => {
    resuming = resuming.then(() => resumeUsersOf(label));
  });
  /** Devices left out because an earlier process did not survive opening them. */
  const leftOut = new Set<string>();
  let resuming = Promise.resolve();

  function failed(spec: Entry["spec"], error: AgentError): Entry {
    log.error({ device: spec.id, driver: driverNameOf(spec), code: error.code }, `${spec.id} did not open: ${error.message}`);
    return { spec, outcome: "failed", reason: `${error.code} ${error.message}`, slot: undefined };
  }

  /** The device as it can be opened now. Throws when its driver is not there, or does not accept what the configuration says. */
  function resolved(spec: Entry["spec"]): DeviceSpec {
    if ("driver" in spec) return spec;
    const driver = drivers?.find(spec.driverName);
    if (driver === undefined) {
      throw new AgentError("UNKNOWN", `no driver is called ${spec.driverName}${drivers?.whyMissing(spec.driverName) ?? ""}`);
    }
    const ready = specOf(spec, driver);
    mustNotShare(ready, othersThan(spec.id));
    return ready;
  }

  function othersThan(id: string): readonly DeviceSpec[] {
    const others: DeviceSpec[] = [];
    for (const { spec, outcome } of entries.values()) if (spec.id !== id && outcome === "opened" && "driver" in spec) others.push(spec);
    return others;
  }

  /** Opens the device once, however many ask for it meanwhile. */
  function open(id: string): Promise<Entry> {
    const running = opening.get(id);
    if (running !== undefined) return running;
    const started = announcedOpen(configured.get(id) as Entry["spec"]).finally(() => opening.delete(id));
    opening.set(id, started);
    return started;
  }

  async function announcedOpen(spec: Entry["spec"]): Promise<Entry> {
    const entry = await openAnnounced(spec);
    entries.set(spec.id, entry);
    return entry;
  }

  async function openAnnounced(spec: Entry["spec"]): Promise<Entry> {
    if (!spec.policy.enabled) return { spec, outcome: "skipped", reason: "enabled: false", slot: undefined };
    try {
      const ready = resolved(spec);
      await options.onDoing?.(`device ${spec.id}`);
      try {
        return await openResolved(ready);
      } finally {
        await options.onDoing?.(undefined);
      }
    } catch (thrown) {
      return failed(spec, toAgentError(thrown));
    }
  }

  /** The motion thread's devices use its own board: a pin of another device would come through this thread. */
  function mustReachPorts({ id, driver, options: wanted }: DeviceSpec): void {
    if (driver.thread !== "motion") return;
    for (const claim of driver.claims(wanted)) {
      const chip = offeringDevice(claim);
      if (chip !== undefined) {
        throw new AgentError(
          "ARGUMENT",
          `${claim} is a port of ${chip.id}, which ${id} cannot use: a ${driver.name} needs ports of the board`,
        );
      }
    }
  }

  /** 0 for what needs the board alone, 1 for what offers ports to others, which may take its time, 2 for those others. */
  function placeOf(spec: Entry["spec"]): number {
    if (!("driver" in spec)) return 2;
    if (spec.driver.offers === true) return 1;
    return spec.driver.claims(spec.options).some((claim) => offeringDevice(claim) !== undefined) ? 2 : 0;
  }

  /** The ports of a device with these options; none while its driver is not there or does not accept them. */
  function claimsOf(spec: Entry["spec"]): readonly string[] {
    if ("driver" in spec) return spec.driver.claims(spec.options);
    const driver = drivers?.find(spec.driverName);
    if (driver === undefined) return [];
    try {
      const ready = specOf(spec, driver);
      return ready.driver.claims(ready.options);
    } catch (error) {
      log.debug({ device: spec.id }, messageOf(error));
      return [];
    }
  }

  /** One after the other, as at the start. Never rejects. */
  async function resumeUsersOf(label: string): Promise<void> {
    for (const spec of configured.values()) {
      if (claimsOf(spec).some((claim) => chipInClaim(claim) === label)) await resume(spec.id);
    }
  }

  /** Its ports can be used after they could not: it is opened if it was not, and without the fault of their loss if it was. */
  async function resume(id: string): Promise<void> {
    await opening.get(id);
    const entry = entries.get(id);
    if (entry?.slot !== undefined) await supervisor.regain(entry.slot);
    else if (entry?.outcome === "failed" && !leftOut.has(id)) await open(id);
  }

  /** The device whose port is claimed. */
  function offeringDevice(claim: string): DeviceSpec | undefined {
    const spec = configured.get(chipInClaim(claim) ?? "");
    return spec !== undefined && "driver" in spec && spec.driver.offers === true ? spec : undefined;
  }

  async function openResolved(spec: DeviceSpec): Promise<Entry> {
    const { id, driver } = spec;
    mustReachPorts(spec);
    let slot: Slot | undefined;
    let early: unknown;
    let earlyLost: AgentError | undefined;
    const scope = createDeviceScope({
      id,
      board,
      clock,
      variables,
      log,
      offers,
      fault(error) {
        if (slot === undefined) early ??= error;
        else supervisor.fault(slot, error);
      },
      lost(error) {
        if (slot === undefined) earlyLost = error;
        else supervisor.lose(slot, error);
      },
    });
    scopes.set(id, scope);
    try {
      const device = await openInTime(spec, scope.context);
      slot = await adopted(spec, device, scope);
      if (early !== undefined) supervisor.fault(slot, early);
      if (earlyLost !== undefined) supervisor.lose(slot, earlyLost);
      log.info({ device: id, driver: driver.name }, `${id} opened`);
      return { spec, outcome: "opened", reason: undefined, slot };
    } catch (error) {
      await endScope(id, scope);
      throw error;
    }
  }

  /** The device under supervision and its functions to be found, or closed again. */
  async function adopted(spec: DeviceSpec, device: OpenedDevice, scope: DeviceScope): Promise<Slot> {
    const { id, driver, policy } = spec;
    try {
      const functions = Object.entries(device.functions).map(([name, fn]) => ({ name, fn, bind: createBinder(fn, `${id}.${name}`) }));
      const slot = supervisor.adopt({
        id,
        device: {
          ...device,
          async close() {
            await device.rest?.();
            await device.close();
            await endScope(id, scope);
          },
        },
        policy,
        lease: driver.lease,
        moves: driver.moves,
        showLease: device.showLease,
      });
      for (const fn of functions) targets.set(`${id}.${fn.name}`, { slot, ...fn });
      return slot;
    } catch (error) {
      await closeUnwanted(id, device);
      throw error;
    }
  }

  async function openInTime(spec: DeviceSpec, context: DeviceContext): Promise<OpenedDevice> {
    // What throws before it promises anything rejects like the rest.
    const device = (async () => openDevice(spec, context))();
    try {
      return await within(clock, openMs, `${spec.id}: opening`, device);
    } catch (error) {
      void device.then((late) => closeUnwanted(spec.id, late), ignored);
      throw error;
    }
  }

  /** It opened, but too late, or when nothing is accepted any more. */
  async function closeUnwanted(id: string, device: Device): Promise<void> {
    try {
      await device.close();
    } catch (error) {
      log.warn({ device: id }, `${id}, which was not wanted any more when it had opened, did not close: ${messageOf(error)}`);
    }
  }

  /** Closes what the device left open, and says once what that was. Never rejects. */
  async function endScope(id: string, scope: DeviceScope): Promise<void> {
    const isFirst = scopes.get(id) === scope;
    if (isFirst) scopes.delete(id);
    try {
      const leaked = await within(clock, openMs, `${id}: closing what it left open`, scope.end());
      if (isFirst && leaked.length > 0) log.error({ device: id, leaked }, `${id} leaked ${leaked.join(", ")}; closed by force`);
    } catch (error) {
      log.error({ device: id }, messageOf(error));
    }
  }

  async function close(entry: Entry, reason: string, caller: string): Promise<void> {
    const { slot } = entry;
    const { id } = entry.spec;
    if (slot === undefined) return;
    // From here on nobody finds it any more.
    entries.set(id, { spec: configured.get(id) ?? entry.spec, outcome: "failed", reason, slot: undefined });
    for (const name of Object.keys(slot.device.functions)) targets.delete(`${id}.${name}`);
    const scope = scopes.get(id);
    await supervisor.release(slot, caller);
    if (scope !== undefined) await endScope(id, scope);
  }

  async function recover({ slot }: Entry): Promise<void> {
    if (options.afterDeath === true && slot?.moves === true) await supervisor.makeSafe(slot, "restart");
  }

  function idsOf(named: readonly Driver[]): readonly string[] {
    const names = new Set(named.map(({ name }) => name));
    return [...configured.values()].filter((spec) => names.has(driverNameOf(spec))).map(({ id }) => id);
  }

  return {
    async openAll() {
      const specs = [...configured.values()];
      const inTurn = options.afterDeath === true ? specs.toSorted(whatMovesFirst) : specs;
      for (const spec of inTurn.toSorted((one, other) => placeOf(one) - placeOf(other))) {
        const left = options.quarantine?.includes(`device ${spec.id}`) === true;
        if (left) leftOut.add(spec.id);
        if (left) entries.set(spec.id, failed(spec, new AgentError("NOT_READY", "left out: the device host did not survive opening it")));
        else await recover(await open(spec.id));
      }
    },
    async reopen(id) {
      const entry = entries.get(id);
      if (entry === undefined) throw new AgentError("UNKNOWN", `no device ${id}; DEVICES lists them`);
      leftOut.delete(id);
      return entry.outcome === "failed" ? open(id) : entry;
    },
    async openWith(named) {
      for (const id of idsOf(named)) if (entries.get(id)?.slot === undefined) await open(id);
    },
    async closeWith(named, reason, caller) {
      const closing = idsOf(named).flatMap((id) => entries.get(id) ?? []);
      await Promise.all(closing.map((entry) => close(entry, reason, caller)));
    },
    idsOf,
    entries: () => [...entries.values()],
    entry: (id) => entries.get(id),
    target: (callName) => targets.get(callName),
    callNames: () => targets.keys(),
    async end() {
      await Promise.all([...scopes].map(([id, scope]) => endScope(id, scope)));
    },
  };
}

/** Whether a device of a module moves is not known before that is loaded. */
function whatMovesFirst(a: Entry["spec"], b: Entry["spec"]): number {
  return Number("driver" in b && b.driver.moves) - Number("driver" in a && a.driver.moves);
}

export function driverNameOf(spec: Entry["spec"]): string {
  return "driver" in spec ? spec.driver.name : spec.driverName;
}

/** Was reported where it was waited for. */
function ignored(): void {
  return undefined;
}
