import { arch } from "node:os";
import { join } from "node:path";

import { AgentError, toAgentError } from "../../../agent/contract/errors.ts";
import { createClaims, lineText, pwmText, type Board, type DigitalOutputs, type LineRef } from "../../../agent/contract/board.ts";
import { modelMatches, type BoardDefinition } from "../../../agent/contract/board-definition.ts";
import { i2cText } from "../../../agent/contract/i2c.ts";
import type { Cancel } from "../../../agent/contract/clock.ts";
import type { Log } from "../../../agent/contract/log.ts";
import { isPending, type Eventually } from "../../../agent/contract/value.ts";
import { chipPaths, readChips } from "./chips.ts";
import type { GpioBackend } from "./gpio-backend.ts";
import { createCdevBackend } from "./gpio-cdev.ts";
import { createSysfsBackend } from "./gpio-sysfs.ts";
import { loadLibc } from "./libc.ts";
import type { GpioChip } from "./line-lookup.ts";
import { findPwmChannel, openPwmChannel } from "./pwm-sysfs.ts";
import { readSysfsChips } from "./sysfs-chips.ts";
import { deniedError, isWritable, readProperty, SYSTEM_ROOTS, type Roots } from "./sysfs-file.ts";

export interface LinuxBoardOptions {
  /** What a board file says; nothing is known but what the kernel tells when absent. */
  readonly definition?: BoardDefinition | undefined;
  readonly log: Log;
  readonly roots?: Roots | undefined;
}

/** What a board is called in its device tree; undefined on machines without one. */
export function readModel(roots: Roots = SYSTEM_ROOTS): string | undefined {
  return readProperty(join(roots.proc, "device-tree/model"))[0];
}

/**
 * The machine's own hardware. Rejects NOT_READY when neither GPIO backend can work, naming what is missing, and when the definition is for another model;
 * DENIED when there are chips and none may be opened.
 */
export async function createLinuxBoard(options: LinuxBoardOptions): Promise<Board> {
  const { definition, log, roots = SYSTEM_ROOTS } = options;
  const model = readModel(roots);
  checkModel(definition, model);
  const { backend, why } = await chooseBackend(options, roots);
  const claims = createClaims();
  const ports = new Set<() => Eventually<void>>();
  let closed = false;

  /** Claims every key or none. */
  function claimAll(owner: string, keys: readonly string[]): Cancel {
    const releases: Cancel[] = [];
    function release(): void {
      for (const one of releases) one();
    }
    try {
      for (const key of keys) releases.push(claims.claim(key, owner));
    } catch (thrown) {
      release();
      throw thrown;
    }
    return release;
  }

  /** Opens a port under its claims; closing it, by its owner or with the board, gives them back. */
  async function openPort<Port extends { close(): Eventually<void> }>(
    owner: string,
    keys: readonly string[],
    open: () => Promise<Port>,
  ): Promise<Port> {
    if (closed) throw new AgentError("IO", `the board is closed; ${owner} cannot open ${keys.join(", ")}`);
    const release = claimAll(owner, keys);
    let port: Port;
    try {
      port = await open();
    } catch (thrown) {
      release();
      throw toAgentError(thrown);
    }
    const closePort = port.close.bind(port);
    function finish(): void {
      ports.delete(close);
      release();
    }
    function close(): Eventually<void> {
      let closing: Eventually<void>;
      try {
        closing = closePort();
      } catch (thrown) {
        finish();
        throw thrown;
      }
      if (isPending(closing)) return closing.finally(finish);
      finish();
    }
    ports.add(close);
    return Object.assign(port, { close });
  }

  async function openOutputs(owner: string, refs: readonly LineRef[], initial: readonly boolean[]): Promise<DigitalOutputs> {
    if (refs.length === 0) throw new AgentError("ARGUMENT", `${owner} asks for no lines; name at least one`);
    if (initial.length !== refs.length) {
      throw new AgentError("ARGUMENT", `${refs.length} lines take ${refs.length} initial levels, got ${initial.length}`);
    }
    const lines = refs.map((ref) => backend.find(ref));
    const other = lines.find(({ chip }) => chip.path !== lines[0]?.chip.path);
    if (other !== undefined) {
      const chips = `${lines[0]?.chip.label ?? ""} and ${other.chip.label}`;
      throw new AgentError("ARGUMENT", `${refs.map(lineText).join(", ")} are on two chips, ${chips}; lines written together are on one`);
    }
    const keys = lines.map(({ key }) => key);
    return openPort(owner, keys, () => backend.openOutputs(owner, lines, initial));
  }

  return {
    describe: () => ({
      kind: backend.kind,
      model: model ?? `Linux on ${arch()}`,
      why,
      chips: backend.chips().map(({ label, path, lines }) => ({ label, path, lines })),
    }),
    openOutputs,
    async openOutput(owner, ref, initial) {
      const outputs = await openOutputs(owner, [ref], [initial]);
      const levels = [initial];
      return {
        write(level) {
          levels[0] = level;
          outputs.write(levels);
        },
        level: () => outputs.levels()[0] === true,
        close() {
          outputs.close();
        },
      };
    },
    async openInput(owner, ref, inputOptions) {
      const line = backend.find(ref);
      return openPort(owner, [line.key], () => backend.openInput(owner, line, inputOptions));
    },
    async openPwm(owner, ref, periodNs) {
      if ("pca9685" in ref) throw new AgentError("NOT_READY", `${pwmText(ref)}: not there yet`);
      const channel = findPwmChannel(ref, definition?.pwm ?? {}, roots);
      return openPort(owner, [channel.key], () => openPwmChannel(owner, channel, periodNs, roots));
    },
    openI2c: (_owner, ref) => Promise.reject(new AgentError("NOT_READY", `${i2cText(ref)}: not there yet`)),
    openCan: (_owner, name) => Promise.reject(new AgentError("NOT_READY", `${name}: not there yet`)),
    async close() {
      closed = true;
      for (const close of [...ports]) {
        try {
          await close();
        } catch (thrown) {
          log.error({ error: toAgentError(thrown).message }, "a port did not close");
        }
      }
    },
  };
}

function checkModel(definition: BoardDefinition | undefined, model: string | undefined): void {
  if (definition?.model === undefined || modelMatches(definition.model, model ?? "")) return;
  const machine = model ?? "a machine without a device tree";
  throw new AgentError(
    "NOT_READY",
    `board file ${definition.name} is for ${definition.model} and this is ${machine}; write board: auto or another file`,
  );
}

interface Choice {
  readonly backend: GpioBackend;
  readonly why: string;
}

async function chooseBackend({ definition, log }: LinuxBoardOptions, roots: Roots): Promise<Choice> {
  const pins = definition?.lines ?? {};
  const wanted = definition?.gpio ?? "auto";
  const by = definition === undefined ? "" : `board file ${definition.name}: `;

  async function tryCdev(): Promise<Choice> {
    if (chipPaths(roots).length === 0)
      throw new AgentError("NOT_READY", `there is no GPIO character device, ${join(roots.dev, "gpiochip*")}`);
    const libc = await loadLibc();
    const { chips, refused } = readChips(libc, roots);
    for (const error of refused) log.warn({ error: error.message }, "a GPIO chip cannot be used");
    if (chips.length === 0) throw refused[0] ?? new AgentError("NOT_READY", "no GPIO character device can be used");
    return { backend: createCdevBackend(libc, roots, pins), why: `${by}GPIO character device, ${labels(chips)}` };
  }

  async function trySysfs(reason: string): Promise<Choice> {
    const chips = readSysfsChips(roots);
    const folder = join(roots.sys, "class/gpio");
    if (chips.length === 0) throw new AgentError("NOT_READY", `there are no chips in ${folder}`);
    if (!isWritable(join(folder, "export"))) throw deniedError(join(folder, "export"), "gpio");
    return { backend: await createSysfsBackend({ roots, pins, log }), why: `${by}sysfs${reason}, ${labels(chips)}` };
  }

  if (wanted === "cdev") return tryCdev();
  if (wanted === "sysfs") return trySysfs("");
  try {
    return await tryCdev();
  } catch (thrown) {
    const cdev = toAgentError(thrown);
    try {
      return await trySysfs(` because ${cdev.message}`);
    } catch (thrownToo) {
      const sysfs = toAgentError(thrownToo);
      throw new AgentError(
        cdev.code,
        `no GPIO backend works: ${cdev.message}; ${sysfs.message}; to run without hardware write board: sim`,
        {
          cause: thrown,
        },
      );
    }
  }
}

function labels(chips: readonly GpioChip[]): string {
  const names = chips.map(({ label }) => label).join(", ");
  return chips.length === 1 ? `chip ${names}` : `chips ${names}`;
}
