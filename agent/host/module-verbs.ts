import { AgentError } from "../contract/errors.ts";
import { didYouMean } from "../contract/nearest.ts";
import { errorReply, OK, textOf, valueReply, type Caller, type Reply, type Request } from "../contract/request.ts";
import type { Journal } from "../contract/journal.ts";
import type { Value } from "../contract/value.ts";
import type { ModuleRecord, ModuleTable } from "./modules.ts";
import type { Registry } from "./registry.ts";

export interface ModuleVerbsOptions {
  readonly table: ModuleTable;
  readonly registry: Registry;
  readonly journal: Journal;
  /** Throws DENIED when the caller may not use that function. */
  readonly mustMay: (caller: Caller, name: string) => void;
}

export interface ModuleVerbs {
  /** Undefined when the verb is none of these. May throw. */
  handle(request: Request, caller: Caller): Promise<Reply> | Reply | undefined;
}

/** Modules as kernel modules were: looked at, put in, taken out, while everything else goes on. One change at a time. */
export function createModuleVerbs({ table, registry, journal, mustMay }: ModuleVerbsOptions): ModuleVerbs {
  let changing: string | undefined;

  function view(record: ModuleRecord): Value {
    const { name, version, source, error, drivers } = record;
    return {
      name,
      version: version ?? null,
      source,
      state: error === undefined ? "loaded" : "failed",
      reason: error === undefined ? null : `${error.code} ${error.message}`,
      drivers: drivers.map((driver) => driver.name),
      devices: registry.idsOf(drivers),
    };
  }

  async function change(what: string, run: () => Promise<Reply>): Promise<Reply> {
    if (changing !== undefined) throw new AgentError("NOT_READY", `${changing} is not done yet; modules are changed one at a time`);
    changing = what;
    try {
      return await run();
    } finally {
      changing = undefined;
    }
  }

  /** Runs the module's code and opens its devices, and those of `former` drivers, which are failed from then on if there are no such any more. */
  async function start(source: string, former: readonly ModuleRecord[], caller: Caller): Promise<Reply> {
    const record = await table.load(source);
    const drivers = [...former, record].flatMap((each) => each.drivers);
    if (record.error === undefined) journal.record("open", `module ${record.name}`, caller.name, source);
    await registry.openWith(drivers);
    return record.error === undefined ? valueReply(view(record)) : errorReply(record.error);
  }

  /** Its drivers are gone first, so that nothing of it can be opened again meanwhile. */
  async function end(record: ModuleRecord, reason: string, caller: Caller): Promise<void> {
    if (record.error === undefined) journal.record("close", `module ${record.name}`, caller.name, record.source);
    await registry.closeWith(record.drivers, `NOT_READY ${reason}`, caller.name);
  }

  function insmod(source: string, caller: Caller): Promise<Reply> {
    const known = table.record(source);
    if (known !== undefined && known.error === undefined) {
      throw new AgentError("IN_USE", `module ${known.name} is loaded already, from ${known.source}; RELOAD ${known.name} loads it anew`);
    }
    const wanted = known?.source ?? source;
    table.mustBeAllowed(wanted);
    return change(`INSMOD ${wanted}`, () => start(wanted, known === undefined ? [] : [known], caller));
  }

  function rmmod(record: ModuleRecord, caller: Caller): Promise<Reply> {
    return change(`RMMOD ${record.name}`, async () => {
      table.forget(record);
      await end(record, `its module ${record.name} was removed; INSMOD ${record.source} loads it again`, caller);
      return OK;
    });
  }

  function reload(record: ModuleRecord, caller: Caller): Promise<Reply> {
    return change(`RELOAD ${record.name}`, async () => {
      const reason = `its module ${record.name} is being loaded anew`;
      table.withdraw(record, reason);
      await end(record, reason, caller);
      return start(record.source, [record], caller);
    });
  }

  function needSource(request: Request): string {
    const [source, ...more] = request.args;
    if (source === undefined || source === "" || more.length > 0) throw new AgentError("ARGUMENT", `${request.verb} takes one module`);
    return textOf(source);
  }

  function needRecord(request: Request): ModuleRecord {
    const name = needSource(request);
    const record = table.record(name);
    if (record === undefined) {
      const names = table.records().map((each) => each.name);
      throw new AgentError("UNKNOWN", `no module ${name}${didYouMean(name, names)}; MODULES lists them`);
    }
    if (table.isBuiltIn(record)) {
      throw new AgentError(
        "ARGUMENT",
        `module ${record.name} comes with the agent; only modules loaded from files and packages can be taken out`,
      );
    }
    return record;
  }

  return {
    handle(request, caller) {
      switch (request.verb) {
        case "MODULES":
          mustMay(caller, "modules.list");
          return valueReply(table.records().map(view));
        case "INSMOD":
          mustMay(caller, "modules.insmod");
          return insmod(needSource(request), caller);
        case "RMMOD":
          mustMay(caller, "modules.rmmod");
          return rmmod(needRecord(request), caller);
        case "RELOAD":
          mustMay(caller, "modules.reload");
          return reload(needRecord(request), caller);
        default:
          return undefined;
      }
    },
  };
}
