import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { arch, release, userInfo } from "node:os";
import { dirname, join, resolve } from "node:path";

import { readModel } from "../../drivers/board/linux/linux-board.ts";
import { SYSTEM_ROOTS } from "../../drivers/board/linux/sysfs-file.ts";
import { shippedBoardFor } from "../config/board-file.ts";
import { mend, note, ok } from "./finding.ts";
import { hardwareFindings } from "./hardware.ts";
import { configFile } from "./config-file.ts";
import { loadWhole } from "./load.ts";
import { portFindings } from "./ports.ts";
import { readListening, stateFolder } from "./target.ts";
import type { Roots } from "../../drivers/board/linux/sysfs-file.ts";
import type { AgentConfig } from "../config/load.ts";
import type { Finding } from "./finding.ts";

export interface ExaminationOptions {
  readonly config?: string;
  readonly state?: string;
}

/** Where an examination looks; tests put folders of their own in place. */
export interface Surroundings {
  readonly roots: Roots;
  readonly groupFile: string;
  readonly nodeVersion: string;
}

const SYSTEM: Surroundings = { roots: SYSTEM_ROOTS, groupFile: "/etc/group", nodeVersion: process.versions.node };

/** `engines.node` of package.json. */
const NODE_FLOOR = { major: 20, minor: 19 };

/** Looks at everything the agent, configured as it is, needs of this machine. Opens no port for longer than it takes to see whether it can. */
export async function examine(
  options: ExaminationOptions,
  env: Readonly<Record<string, string | undefined>>,
  surroundings: Surroundings = SYSTEM,
): Promise<readonly Finding[]> {
  const { roots, groupFile, nodeVersion } = surroundings;
  const model = readModel(roots);
  const groups = readGroups(groupFile);
  const { config, findings } = configuration(options.config);
  const folder = stateFolder(options.state, env);
  return [
    machine(model),
    nodeFinding(nodeVersion),
    userFinding(groups),
    ...findings,
    ...(await hardwareFindings({ config, model, roots, knownGroups: new Set(groups.keys()) })),
    stateFinding(folder),
    ...(await portFindings(config, readListening(folder))),
  ];
}

function machine(model: string | undefined): Finding {
  const board = model === undefined ? undefined : shippedBoardFor(model);
  const file = board === undefined ? "" : `, board file ${board.name}`;
  return note("machine", `${model ?? "no device tree model"}${file}, Linux ${release()} on ${arch()}`);
}

function nodeFinding(version: string): Finding {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const { major: floorMajor, minor: floorMinor } = NODE_FLOOR;
  if (major > floorMajor || (major === floorMajor && minor >= floorMinor)) return ok("node", `Node ${version}`);
  return mend("node", `Node ${version}, older than ${floorMajor}.${floorMinor}`, "sudo apt-get update && sudo apt-get install nodejs");
}

/** Group names with their numbers. */
function readGroups(file: string): ReadonlyMap<string, number> {
  const lines = existsSync(file) ? readFileSync(file, "utf8").split("\n") : [];
  return new Map(
    lines.map((line) => line.split(":")).flatMap(([name = "", , number]) => (number === undefined ? [] : [[name, Number(number)]])),
  );
}

function userFinding(groups: ReadonlyMap<string, number>): Finding {
  const own = new Set(process.getgroups?.());
  const names = [...groups].filter(([, number]) => own.has(number)).map(([name]) => name);
  return note("user", `${userInfo().username}, in groups ${names.join(", ") || "without names"}`);
}

function configuration(asked: string | undefined): { readonly config: AgentConfig | undefined; readonly findings: readonly Finding[] } {
  const file = configFile(asked);
  if (file === undefined) return { config: undefined, findings: [note("config", "none is here; looking at what any could need")] };
  const { config, problems } = loadWhole(file);
  if (config !== undefined) return { config, findings: [ok("config", `${file}, ${config.devices.length} devices`)] };
  return { config, findings: [mend("config", `${file} has ${problems.length} mistakes`, `virgo config check ${file}`)] };
}

function stateFinding(folder: string): Finding {
  const path = resolve(folder);
  let there = path;
  while (!existsSync(there) && there !== dirname(there)) there = dirname(there);
  if (isWritable(there)) return ok("state", there === path ? path : `${path} will be made`);
  const owner = userInfo().username;
  return mend("state", `${there} is not writable`, `sudo install -d -o ${owner} ${join(path)}`);
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
