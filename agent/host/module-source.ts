import { readFileSync, realpathSync, statSync } from "node:fs";
import { dirname, isAbsolute, join, resolve, sep } from "node:path";

import { AgentError, messageOf } from "../contract/errors.ts";

/** A module's code, found. */
export interface ModuleFile {
  /** Absolute, without symbolic links. */
  readonly file: string;
  /** What the package it is part of says; undefined for a file by itself. */
  readonly version: string | undefined;
}

const PACKAGE_NAME = /^(@[\w~-][\w.~-]*\/)?[\w~-][\w.~-]*$/;

/** Of a package's conditional exports, those that an import on Node takes. */
const CONDITIONS: ReadonlySet<string> = new Set(["node", "import", "module-sync", "default"]);

/**
 * Finds what `source` names: a file or folder (`./fan.js`, `/opt/fan`), from `folder` on, or a package installed in `folder` or above. Throws UNKNOWN
 * when there is none, ARGUMENT for what is no name of either.
 */
export function locateModule(source: string, folder: string): ModuleFile {
  if (isPath(source)) return locatePath(source, resolve(folder, source));
  if (!PACKAGE_NAME.test(source)) {
    throw new AgentError("ARGUMENT", `${source} is neither a file (./fan.js) nor the name of a package`);
  }
  for (let at = folder; ; at = dirname(at)) {
    const candidate = join(at, "node_modules", source);
    if (isFolder(candidate)) return packageEntry(source, candidate);
    if (dirname(at) === at) break;
  }
  throw new AgentError(
    "UNKNOWN",
    `no package ${source} is installed in ${folder} or above; npm install it there, or write ./${source} for a file`,
  );
}

function isPath(source: string): boolean {
  return source.startsWith("./") || source.startsWith("../") || isAbsolute(source);
}

function locatePath(source: string, path: string): ModuleFile {
  if (isFolder(path)) return packageEntry(source, path);
  if (!isFile(path)) throw new AgentError("UNKNOWN", `${source}: there is no file ${path}`);
  return { file: realpathSync(path), version: undefined };
}

function packageEntry(source: string, folder: string): ModuleFile {
  const manifest = readManifest(source, join(folder, "package.json"));
  const entry = exportedFile(manifest["exports"]) ?? textOr(manifest["main"], "index.js");
  const file = join(folder, entry);
  if (!isFile(file)) throw new AgentError("UNKNOWN", `${source}: its package.json names ${entry}, and there is no file ${file}`);
  return { file: realpathSync(file), version: textOr(manifest["version"], undefined) };
}

function readManifest(source: string, file: string): Readonly<Record<string, unknown>> {
  try {
    const manifest: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (isMap(manifest)) return manifest;
  } catch (error) {
    throw new AgentError("UNKNOWN", `${source}: cannot read ${file}: ${messageOf(error)}`, { cause: error });
  }
  throw new AgentError("UNKNOWN", `${source}: ${file} holds no map`);
}

/** The file that `exports` names for the package itself. */
function exportedFile(exports: unknown): string | undefined {
  if (typeof exports === "string") return exports;
  if (Array.isArray(exports)) return firstOf(exports);
  if (!isMap(exports)) return undefined;
  if ("." in exports) return exportedFile(exports["."]);
  return firstOf(Object.keys(exports).flatMap((condition) => (CONDITIONS.has(condition) ? [exports[condition]] : [])));
}

function firstOf(targets: readonly unknown[]): string | undefined {
  for (const target of targets) {
    const file = exportedFile(target);
    if (file !== undefined) return file;
  }
  return undefined;
}

/** Whether a file lies in one of the folders, however it is reached. Folders that are not there hold nothing. */
export function isBelow(file: string, folders: readonly string[]): boolean {
  return folders.some((folder) => {
    if (!isFolder(folder)) return false;
    const real = realpathSync(folder);
    return file.startsWith(real.endsWith(sep) ? real : `${real}${sep}`);
  });
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOr<Otherwise>(value: unknown, otherwise: Otherwise): string | Otherwise {
  return typeof value === "string" ? value : otherwise;
}
