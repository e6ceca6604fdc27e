import { accessSync, constants, existsSync, readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

import { chooseBoard } from "./board-file.ts";
import { checkDevices } from "./devices.ts";
import { inReadingOrder } from "./problem.ts";
import { checkRules } from "./rules.ts";
import { configSchema } from "./schema.ts";
import { check } from "./schema-problems.ts";
import { readYaml } from "./yaml-source.ts";
import { NODE_TOPICS } from "../mqtt/topics.ts";
import { permitMistake } from "../access/permits.ts";
import { DRIVING_VARIABLES } from "../../analytics/driving/options.ts";
import { derivedNames } from "../../analytics/statistics/options.ts";
import type { DeviceModule } from "../contract/device.ts";
import type { BoardChoice } from "./board-file.ts";
import type { ConfiguredDevice, PendingDevice } from "./devices.ts";
import type { Problem } from "./problem.ts";
import type { CheckRule } from "./rules.ts";
import type { RawConfig } from "./schema.ts";
import type { YamlSource } from "./yaml-source.ts";

/** A configuration is written by hand; what is longer than this is something else. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;

/** A configuration without mistakes. Relative files in it have become absolute. */
export interface AgentConfig extends Omit<RawConfig, "devices" | "board"> {
  /** Where it was read from. */
  readonly file: string;
  readonly board: BoardChoice;
  /** In the order of the file. */
  readonly devices: readonly ConfiguredDevice[];
  /** Those of modules that others wrote. */
  readonly pending: readonly PendingDevice[];
}

export interface LoadedConfig {
  /** Absent when there is any problem. */
  readonly config?: AgentConfig;
  /** Every mistake, from top to bottom. */
  readonly problems: readonly Problem[];
  /** What the agent can start with and somebody should know. */
  readonly warnings: readonly Problem[];
}

export interface LoadOptions {
  /** Understands rules; without it their expressions are not checked. */
  readonly checkRule?: CheckRule;
  /** Used instead of the file's `board`. A board file is then looked for from `boardFolder` on. */
  readonly board?: string;
}

/** Reads and checks a configuration, opening nothing but files. Never throws for what the file says. */
export function loadConfig(file: string, modules: readonly DeviceModule[], options: LoadOptions = {}): LoadedConfig {
  const text = readConfigText(file);
  if (typeof text !== "string") return { problems: [text], warnings: [] };
  const source = readYaml(text, file);
  if (source.broken) return { problems: inReadingOrder(source.problems), warnings: [] };
  return checkConfig(source, modules, options);
}

function readConfigText(file: string): string | Problem {
  const problem = (reason: string, suggestion: string): Problem => ({ file, line: 1, column: 1, reason, suggestion });
  try {
    const { size } = statSync(file);
    if (size > MAX_FILE_BYTES) return problem(`the file has ${size} bytes, more than ${MAX_FILE_BYTES}`, "name a configuration file");
    return readFileSync(file, "utf8");
  } catch (thrown) {
    return problem(`cannot read the file: ${reasonOf(thrown)}`, "name the configuration with --config FILE");
  }
}

function reasonOf(thrown: unknown): string {
  const code = (thrown as NodeJS.ErrnoException).code;
  if (code === "ENOENT") return "there is none";
  if (code === "EISDIR") return "it is a folder";
  if (code === "EACCES") return "permission denied";
  return String(code ?? thrown);
}

function checkConfig(source: YamlSource, modules: readonly DeviceModule[], options: LoadOptions): LoadedConfig {
  const shape = check(source, [], source.data, configSchema);
  const problems = [...source.problems, ...(shape.problems ?? [])];
  // Each part is checked on what the file says, so that a mistake in one part hides none in another.
  const raw = fieldsOf(source.data);
  const board = checkBoard(source, options.board ?? raw["board"]);
  problems.push(...board.problems);
  const devices = checkDevices(source, raw["devices"], modules, board.value, hasEntries(raw["modules"]));
  problems.push(...devices.problems);
  const warnings: Problem[] = [];
  if (options.checkRule !== undefined) {
    const analytics = fieldsOf(raw["analytics"]);
    const variables = [
      ...Object.keys(fieldsOf(analytics["variables"])),
      ...derivedNames(fieldsOf(analytics["derived"])),
      ...(analytics["driving"] === undefined ? [] : Object.values(DRIVING_VARIABLES)),
    ];
    const rules = checkRules(source, raw["rules"], { devices, variables }, options.checkRule);
    problems.push(...rules.problems);
    warnings.push(...rules.warnings);
  }
  if (shape.value === undefined || problems.length > 0) return { problems: inReadingOrder(problems), warnings: [] };
  problems.push(...contradictions(source, shape.value));
  if (problems.length > 0) return { problems: inReadingOrder(problems), warnings: [] };
  const config = {
    ...withAbsoluteFiles(source.file, shape.value),
    file: source.file,
    board: board.value,
    devices: devices.devices,
    pending: devices.pending,
  };
  return { config, problems, warnings: [...warnings, ...warningsOf(source, config)] };
}

function checkBoard(source: YamlSource, spec: unknown): { readonly value: BoardChoice; readonly problems: readonly Problem[] } {
  if (typeof spec !== "string" || spec === "") return { value: "auto", problems: [] };
  const chosen = chooseBoard(spec, source, ["board"]);
  return { value: chosen.value ?? "auto", problems: chosen.problems ?? [] };
}

/** What is right by itself and wrong together. */
function contradictions(source: YamlSource, config: RawConfig): readonly Problem[] {
  return [
    ...listenerProblems(source, config),
    ...replyProblems(source, config),
    ...userProblems(source, config),
    ...brokerProblems(source, config),
    ...permitProblems(source, config),
    ...boundProblems(source, config),
  ];
}

function* listenerProblems(source: YamlSource, { listen, tls }: RawConfig): Generator<Problem> {
  const taken = new Map<string, string>();
  for (const [name, address] of Object.entries(listen)) {
    if (address === false) continue;
    const first = taken.get(address);
    if (first === undefined || address.endsWith(":0")) {
      taken.set(address, name);
      continue;
    }
    const reason = `listen.${first} and listen.${name} are both ${address}`;
    yield source.problem(["listen", name], "value", reason, "give one of them another port");
  }
  if (listen.secure === false || tls !== undefined) return;
  yield source.problem(
    ["listen", "secure"],
    "value",
    "listen.secure needs tls, which is not there",
    "name certificate, key and ca under tls; virgo cert makes them",
  );
}

function* replyProblems(source: YamlSource, { limits: { maxOutputBytes }, ...config }: RawConfig): Generator<Problem> {
  for (const section of ["events", "memory"] as const) {
    const { maxReplyBytes } = config[section];
    if (maxReplyBytes < maxOutputBytes) continue;
    const reason = `${section}.maxReplyBytes is ${maxReplyBytes}, not below limits.maxOutputBytes, ${maxOutputBytes}: such a reply would disconnect its client`;
    yield source.problem([section, "maxReplyBytes"], "value", reason, "make one of them smaller or the other larger");
  }
}

function* userProblems(source: YamlSource, { auth }: RawConfig): Generator<Problem> {
  const names = new Map<string, number>();
  for (const [index, { name }] of auth.users.entries()) {
    const first = names.get(name);
    if (first === undefined) {
      names.set(name, index);
      continue;
    }
    const reason = `auth.users[${first}] is called ${name} too`;
    yield source.problem(["auth", "users", index, "name"], "value", reason, "give each user a name of its own");
  }
}

/** What others may do by way of the broker. */
function* permitProblems(source: YamlSource, { mqtt, fleet }: RawConfig): Generator<Problem> {
  for (const [path, allow] of [
    [["mqtt", "devices"], mqtt?.devices.allow ?? []],
    [["fleet", "mqtt"], fleet.mqtt.allow],
  ] as const) {
    for (const [index, permit] of allow.entries()) {
      const mistake = permitMistake(permit);
      if (mistake !== undefined) yield source.problem([...path, "allow", index], "value", `${path.join(".")}.allow[${index}]: ${mistake}`);
    }
  }
}

/** What is on a broker needs one. */
function* brokerProblems(source: YamlSource, { analytics, fleet, mqtt }: RawConfig): Generator<Problem> {
  if (mqtt !== undefined) return;
  if (fleet.mqtt.enabled) {
    yield source.problem(
      ["fleet", "mqtt", "enabled"],
      "value",
      "fleet.mqtt is on a broker, but none is configured",
      "name one with mqtt.url",
    );
  }
  for (const part of ["sources", "sinks"] as const) {
    for (const [index, spec] of analytics[part].entries()) {
      if (!("mqtt" in spec)) continue;
      const reason = `analytics.${part}[${index}] is on a broker, but none is configured`;
      yield source.problem(["analytics", part, index, "mqtt"], "value", reason, "name one with mqtt.url");
    }
  }
}

function* boundProblems(source: YamlSource, { analytics }: RawConfig): Generator<Problem> {
  for (const [name, { min, max }] of Object.entries(analytics.variables)) {
    if (min === undefined || max === undefined || min <= max) continue;
    const reason = `analytics.variables.${name}: min ${min} is above max ${max}`;
    yield source.problem(["analytics", "variables", name, "min"], "value", reason, "swap them");
  }
}

/** Relative files are meant from the configuration on, wherever the agent was started. */
function withAbsoluteFiles(file: string, config: RawConfig): RawConfig {
  const folder = dirname(file);
  const { clone, analytics, fleet, mqtt, tls } = config;
  return {
    ...config,
    clone: { ...clone, plugins: clone.plugins.map((plugin) => resolve(folder, plugin)) },
    analytics: {
      ...analytics,
      sources: analytics.sources.map((from) => {
        if ("log" in from) return absolute(folder, from, ["log", "conf"]);
        return "file" in from ? absolute(folder, from, ["file"]) : from;
      }),
      sinks: analytics.sinks.map((to) => ("file" in to ? absolute(folder, to, ["file"]) : to)),
    },
    files: absolute(folder, config.files, ["root"]),
    events: absolute(folder, config.events, ["folder"]),
    queue: absolute(folder, config.queue, ["file"]),
    fleet: {
      ...absolute(folder, fleet, ["clientConf", "cloudConf"]),
      nodes: Object.fromEntries(Object.entries(fleet.nodes).map(([name, node]) => [name, absolute(folder, node, ["tokenFile"])])),
    },
    mqtt: mqtt && absolute(folder, mqtt, ["passwordFile", "ca", "certificate", "key"]),
    auth: absolute(folder, config.auth, ["usersFile"]),
    audit: absolute(folder, config.audit, ["file"]),
    tls: tls && absolute(folder, tls, ["certificate", "key", "ca", "revoked"]),
  };
}

function absolute<T extends object>(folder: string, options: T, keys: readonly (keyof T)[]): T {
  const paths = keys.flatMap((key) => {
    const path = options[key];
    return typeof path === "string" ? [[key, resolve(folder, path)]] : [];
  });
  return { ...options, ...(Object.fromEntries(paths) as Partial<T>) };
}

function warningsOf(source: YamlSource, config: AgentConfig): readonly Problem[] {
  const warnings: Problem[] = [];
  for (const [index, executable] of config.clone.executables.entries()) {
    if (isExecutable(executable)) continue;
    warnings.push(
      source.problem(
        ["clone", "executables", index],
        "value",
        `${executable} cannot be executed`,
        `chmod +x ${executable}, or take it off the list`,
      ),
    );
  }
  for (const [index, plugin] of config.clone.plugins.entries()) {
    if (existsSync(plugin)) continue;
    warnings.push(
      source.problem(["clone", "plugins", index], "value", `there is no plugin ${plugin}`, "put it there, or take it off the list"),
    );
  }
  for (const { id } of config.mqtt?.devices.enabled === true ? config.devices : []) {
    if (!NODE_TOPICS.has(id)) continue;
    warnings.push(
      source.problem(
        ["devices", id],
        "key",
        `a device called ${id} is not seen over MQTT`,
        "call it otherwise: the node has a topic of that name",
      ),
    );
  }
  for (const [index, from] of config.analytics.sources.entries()) {
    if (!("file" in from) || existsSync(from.file)) continue;
    warnings.push(
      source.problem(["analytics", "sources", index, "file"], "value", `there is no ${from.file} yet`, "it is read as soon as it is there"),
    );
  }
  return warnings;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function hasEntries(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : {};
}
