import { resolve } from "node:path";

import { AgentError, toAgentError } from "../contract/errors.ts";
import { loadModule } from "./module-loader.ts";
import { isBelow, locateModule } from "./module-source.ts";
import { within } from "./time-limit.ts";
import type { Clock } from "../contract/clock.ts";
import type { DeviceModule, Driver } from "../contract/device.ts";
import type { Log } from "../contract/log.ts";
import type { Eventually } from "../contract/value.ts";
import type { DriverSource } from "./registry.ts";

/** What INSMOD calls modules that are no file and no package. */
const BUILT_IN = "built-in";

const LOAD_MS = 5000;

/** One module of the node, as it is now. */
export interface ModuleRecord {
  /** Its own name; its source as long as it never told its name. */
  readonly name: string;
  readonly version: string | undefined;
  /** `built-in`, or the file or package as it was asked for. */
  readonly source: string;
  /** Why it is not loaded. */
  readonly error: AgentError | undefined;
  /** Those of the last time it was loaded. */
  readonly drivers: readonly Driver[];
}

export interface ModulesOptions {
  /** The modules that come with the agent. */
  readonly builtIn: readonly DeviceModule[];
  /** The agent's version: that of its modules. */
  readonly version?: string | undefined;
  /** Files and packages that the configuration lists. */
  readonly sources: readonly string[];
  /** Where relative names start: the configuration's folder. */
  readonly folder: string;
  /** Folders, from there on, out of which others may be loaded too. */
  readonly insmodFrom?: readonly string[] | undefined;
  /** Time limit of loading one, milliseconds. */
  readonly loadMs?: number | undefined;
}

export interface ModuleTableOptions extends ModulesOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Told `module ./fan.js` before its code runs, and undefined afterwards. */
  readonly onDoing?: ((text: string | undefined) => Eventually<void>) | undefined;
  /** What earlier processes did not survive, in the words of `onDoing`. */
  readonly quarantine?: readonly string[] | undefined;
}

/** Which modules there are, and their drivers. Knows nothing of devices. */
export interface ModuleTable extends DriverSource {
  /** Loads what the configuration lists, one after the other. One that fails is kept as failed. */
  loadAll(): Promise<void>;
  /** Runs the code of a file or package, again if it was loaded before. Never rejects: a module that does not load is kept as failed. */
  load(source: string): Promise<ModuleRecord>;
  /** Its drivers are not found any more; it stays listed, with the reason. */
  withdraw(record: ModuleRecord, reason: string): void;
  forget(record: ModuleRecord): void;
  /** By name or source. */
  record(name: string): ModuleRecord | undefined;
  records(): readonly ModuleRecord[];
  isBuiltIn(record: ModuleRecord): boolean;
  /** Of the modules that are loaded, but for the agent's own. */
  sources(): readonly string[];
  /** Throws DENIED when it may not be loaded on somebody's word: the configuration does not list it, and it lies elsewhere than where such modules may. */
  mustBeAllowed(source: string): void;
}

export function createModuleTable(options: ModuleTableOptions): ModuleTable {
  const { builtIn, version, sources, folder, insmodFrom = [], loadMs = LOAD_MS, clock, log, quarantine = [] } = options;
  const allowed = insmodFrom.map((each) => resolve(folder, each));
  const own: readonly ModuleRecord[] = builtIn.map(({ name, drivers }) => ({ name, version, source: BUILT_IN, error: undefined, drivers }));
  const loaded = new Map<string, ModuleRecord>();
  let generation = 0;

  const records = (): readonly ModuleRecord[] => [...own, ...loaded.values()];

  function failed(source: string, error: AgentError): ModuleRecord {
    const before = loaded.get(source);
    log.error({ module: source, code: error.code }, `module ${source} is not loaded: ${error.message}`);
    const record = { name: before?.name ?? source, version: before?.version, source, error, drivers: before?.drivers ?? [] };
    loaded.set(source, record);
    return record;
  }

  /** Names are what everything is found by. */
  function mustBeNew(source: string, { name, drivers }: DeviceModule): void {
    for (const other of records()) {
      if (other.source === source || other.error !== undefined) continue;
      if (other.name === name) throw new AgentError("IN_USE", `module ${source}: there is a module ${name} already, ${other.source}`);
      for (const driver of drivers) {
        if (!other.drivers.some((known) => known.name === driver.name)) continue;
        throw new AgentError("IN_USE", `module ${source}: there is a driver ${driver.name} already, in module ${other.name}`);
      }
    }
  }

  async function loadChecked(source: string): Promise<ModuleRecord> {
    const module = await loadModule(source, locateModule(source, folder), ++generation);
    mustBeNew(source, module);
    return { name: module.name, version: module.version, source, error: undefined, drivers: module.drivers };
  }

  async function load(source: string): Promise<ModuleRecord> {
    await options.onDoing?.(`module ${source}`);
    try {
      const record = await within(clock, loadMs, `module ${source}: loading`, loadChecked(source));
      loaded.set(source, record);
      log.info({ module: record.name, source }, `module ${record.name} loaded from ${source}`);
      return record;
    } catch (error) {
      return failed(source, toAgentError(error));
    } finally {
      await options.onDoing?.(undefined);
    }
  }

  return {
    async loadAll() {
      for (const source of sources) {
        const left = quarantine.includes(`module ${source}`);
        if (left) failed(source, new AgentError("NOT_READY", "left out: the device host did not survive loading it; RELOAD tries again"));
        else await load(source);
      }
    },
    load,
    withdraw(record, reason) {
      loaded.set(record.source, { ...record, error: new AgentError("NOT_READY", reason) });
    },
    forget(record) {
      loaded.delete(record.source);
    },
    record: (name) => records().find((record) => record.name === name || (record.source === name && record.source !== BUILT_IN)),
    records,
    sources: () => [...loaded.values()].filter(({ error }) => error === undefined).map(({ source }) => source),
    isBuiltIn: (record) => own.includes(record),
    mustBeAllowed(source) {
      if (sources.includes(source) || isBelow(locateModule(source, folder).file, allowed)) return;
      const where = allowed.length === 0 ? "nothing else may be loaded" : `what else may be loaded lies in ${allowed.join(" or ")}`;
      throw new AgentError("DENIED", `module ${source} is not among the configuration's modules; ${where}`);
    },
    find(name) {
      for (const { error, drivers } of records()) {
        const driver = error === undefined ? drivers.find((each) => each.name === name) : undefined;
        if (driver !== undefined) return driver;
      }
      return undefined;
    },
    whyMissing(name) {
      const broken = [...loaded.values()].filter(({ error }) => error !== undefined);
      const had = broken.filter(({ drivers }) => drivers.some((driver) => driver.name === name));
      const named = (had.length > 0 ? had : broken).map(({ error }) => error?.message ?? "");
      return named.length === 0 ? "; no module that is loaded brings it" : `; ${named.join("; ")}`;
    },
  };
}
