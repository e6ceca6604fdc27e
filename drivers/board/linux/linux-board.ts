import { arch } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { AgentError, toAgentError } from "../../../agent/contract/errors.ts";
import {
  lineRef,
  lineText,
  pwmText,
  type Board,
  type DigitalOutput,
  type DigitalOutputs,
  type LineRef,
  type Pca9685Ref,
} from "../../../agent/contract/board.ts";
import { modelMatches, type BoardDefinition } from "../../../agent/contract/board-definition.ts";
import { chipPaths, readChips } from "./chips.ts";
import { createCdevBackend } from "./gpio-cdev.ts";
import { createLinuxSerial } from "./serial.ts";
import { createNoGpioBackend } from "./gpio-none.ts";
import { createLinuxI2c, kernelDriver, type I2cBackend, type I2cPlace } from "./i2c.ts";
import { createPca9685Channels } from "../pca9685.ts";
import { createPoller, type Poller } from "./poller.ts";
import { createPorts } from "../ports.ts";
import { createSysfsBackend } from "./gpio-sysfs.ts";
import { DEFAULT_I2C_TIMING } from "../i2c-queue.ts";
import { deniedError, isWritable, readProperty, SYSTEM_ROOTS, type Roots } from "./sysfs-file.ts";
import { findCanInterface, openCanSocket } from "./can.ts";
import { findPwmChannel, openPwmChannel, type PwmChannel } from "./pwm-sysfs.ts";
import { loadLibc, type Libc } from "./libc.ts";
import { readSysfsChips } from "./sysfs-chips.ts";
import type { Clock } from "../../../agent/contract/clock.ts";
import type { GpioBackend } from "./gpio-backend.ts";
import type { GpioChip } from "./line-lookup.ts";
import type { I2cDevice } from "../../../agent/contract/i2c.ts";
import type { Log } from "../../../agent/contract/log.ts";

/** The data sheet allows the chip's oscillator 500 µs; a timer of 1 ms may be a fraction of it early. */
const OSCILLATOR_MS = 2;

export interface LinuxBoardOptions {
  /** What a board file says; nothing is known but what the kernel tells when absent. */
  readonly definition?: BoardDefinition | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly roots?: Roots | undefined;
  /** Who does the transfers on I2C buses; chosen by thread when absent. */
  readonly i2c?: I2cBackend | undefined;
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
  const { definition, clock, log, roots = SYSTEM_ROOTS } = options;
  const model = readModel(roots);
  checkModel(definition, model);
  const { backend, why } = await chooseBackend(options, roots);
  const ports = createPorts("the board");
  let libc: Promise<Libc> | undefined;
  let poller: Poller | undefined;

  function sharedLibc(): Promise<Libc> {
    libc ??= loadLibc();
    return libc;
  }

  const i2c = createLinuxI2c({
    roots,
    log,
    timing: definition?.i2c ?? DEFAULT_I2C_TIMING,
    backend: options.i2c,
    loadLibc: sharedLibc,
  });
  const pca9685 = createPca9685Channels({
    openI2c: (owner, ref) => openI2c(owner, i2c.find(ref), true),
    openOutput: (owner, line, initial) => openOutput(owner, lineRef(line), initial),
    oscillatorStarts: () => delay(OSCILLATOR_MS),
  });

  function sharedPoller(calls: Libc): Poller {
    poller ??= createPoller(calls);
    return poller;
  }

  const serial = createLinuxSerial({ clock, loadLibc: sharedLibc, poller: sharedPoller });

  function openI2c(owner: string, place: I2cPlace, repeatWrites: boolean): Promise<I2cDevice> {
    return ports.open(owner, [place.key], () => i2c.open(owner, place, repeatWrites));
  }

  function openPwm(owner: string, channel: PwmChannel, periodNs: number) {
    return ports.open(owner, [channel.key], () => openPwmChannel(owner, channel, periodNs, roots));
  }

  /** Through the kernel's driver where it has the chip, else over I2C. */
  async function openPca9685(owner: string, ref: Pca9685Ref, periodNs: number) {
    const place = i2c.find(ref);
    if (kernelDriver(place, roots) !== undefined) {
      const channel = findPwmChannel({ chip: place.device, channel: ref.channel }, {}, roots);
      if (ref.outputEnable === undefined) return openPwm(owner, channel, periodNs);
      const why = "the kernel drives this chip, and its output-enable line is named in the device tree";
      throw new AgentError("ARGUMENT", `${channel.key}: leave outputEnable ${ref.outputEnable} out: ${why}`);
    }
    const found = { ...ref, bus: place.bus };
    return ports.open(owner, [pwmText({ pca9685: found })], () => pca9685.open(owner, found, periodNs));
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
    return ports.open(owner, keys, () => backend.openOutputs(owner, lines, initial));
  }

  async function openOutput(owner: string, ref: LineRef, initial: boolean): Promise<DigitalOutput> {
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
  }

  return {
    describe: () => ({
      kind: backend.kind,
      model: model ?? `Linux on ${arch()}`,
      why,
      chips: backend.chips().map(({ label, path, lines }) => ({ label, path, lines })),
    }),
    openOutputs,
    openOutput,
    async openInput(owner, ref, inputOptions) {
      const line = backend.find(ref);
      return ports.open(owner, [line.key], () => backend.openInput(owner, line, inputOptions));
    },
    async openPwm(owner, ref, periodNs) {
      if ("pca9685" in ref) return openPca9685(owner, ref.pca9685, periodNs);
      return openPwm(owner, findPwmChannel(ref, definition?.pwm ?? {}, roots), periodNs);
    },
    openI2c: async (owner, ref) => openI2c(owner, i2c.find(ref), false),
    async openCan(owner, interfaceName) {
      findCanInterface(interfaceName, roots);
      return ports.openShared(owner, `can ${interfaceName}`, async () => {
        const calls = await sharedLibc();
        return openCanSocket(calls, sharedPoller(calls), interfaceName, roots);
      });
    },
    openSerial: async (owner, path, serialOptions) => ports.open(owner, [`serial ${path}`], () => serial.open(owner, path, serialOptions)),
    close: () =>
      ports.close((error) => {
        log.error({ error: error.message }, "a port did not close");
      }),
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

  if (definition !== undefined && wanted === "none") {
    return { backend: createNoGpioBackend(definition.name), why: `${by}no GPIO, other ports only` };
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
        `no GPIO backend works: ${cdev.message}; ${sysfs.message}; to use serial ports, I2C and CAN only write board: no-gpio, to run without hardware board: sim`,
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
