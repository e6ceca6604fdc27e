import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { boardDefinitionSchema, modelMatches } from "../contract/board-definition.ts";
import { messageOf } from "../contract/errors.ts";
import { nearest } from "../contract/nearest.ts";
import { orList } from "./expectation.ts";
import { check } from "./schema-problems.ts";
import { pathText, readYaml } from "./yaml-source.ts";
import type { BoardDefinition } from "../contract/board-definition.ts";
import type { Problem } from "./problem.ts";
import type { Checked } from "./schema-problems.ts";
import type { Path, YamlSource } from "./yaml-source.ts";

/** The machine's own hardware as its kernel describes it, the simulated board, or a board file's content. */
export type BoardChoice = "auto" | "sim" | BoardDefinition;

/** Where the board files that come with the agent are: beside the sources, or beside what was built from them. */
export function shippedBoardsFolder(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const beside = join(here, "..", "..", "firmware-configs", "boards");
  return existsSync(beside) ? beside : join(here, "..", "..", "..", "firmware-configs", "boards");
}

/** Reads one board file. Every problem names the board file, not what referred to it. */
export function readBoardFile(file: string): Checked<BoardDefinition> {
  const source = readYaml(readFileSync(file, "utf8"), file);
  if (source.broken) return { problems: source.problems };
  const checked = check(source, [], source.data, boardDefinitionSchema);
  const problems = [...source.problems, ...(checked.problems ?? [])];
  return problems.length > 0 ? { problems } : checked;
}

/** The board file that comes with the agent for a machine that calls itself `model` (/proc/device-tree/model); undefined when there is none. */
export function shippedBoardFor(model: string): BoardDefinition | undefined {
  const folder = shippedBoardsFolder();
  for (const name of boardNames(folder)) {
    const { value } = readBoardFile(join(folder, `${name}.yaml`));
    if (value?.model !== undefined && modelMatches(value.model, model)) return value;
  }
  return undefined;
}

/** `board:` of the configuration: a keyword, a file beside the configuration, or the name of a board that comes with the agent. */
export function chooseBoard(spec: string, config: YamlSource, path: Path): Checked<BoardChoice> {
  if (spec === "auto" || spec === "sim") return { value: spec };
  const folder = shippedBoardsFolder();
  const file = boardPath(spec, dirname(config.file), folder);
  if (file !== undefined) return readOrProblem(file, config, path);
  const meant = nearest(basename(spec, extname(spec)), ["auto", "sim", ...boardNames(folder)]);
  const problem = config.problem(
    path,
    "value",
    `${pathText(path)} is ${JSON.stringify(spec)}, and there is no such board file`,
    meant === undefined ? `write auto, sim, a file, or one of ${orList(boardNames(folder))}` : `did you mean ${meant}?`,
  );
  return { problems: [problem] };
}

function boardPath(spec: string, configFolder: string, shippedFolder: string): string | undefined {
  const given = spec.startsWith("/") ? spec : join(configFolder, spec);
  if (extname(given) !== "" && existsSync(given)) return given;
  const shipped = join(shippedFolder, `${spec}.yaml`);
  return basename(spec) === spec && existsSync(shipped) ? shipped : undefined;
}

function readOrProblem(file: string, config: YamlSource, path: Path): Checked<BoardDefinition> {
  try {
    return readBoardFile(file);
  } catch (thrown) {
    const problems: readonly Problem[] = [config.problem(path, "value", `cannot read the board file ${file}: ${messageOf(thrown)}`)];
    return { problems };
  }
}

function boardNames(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => extname(name) === ".yaml")
    .map((name) => basename(name, ".yaml"))
    .sort();
}
