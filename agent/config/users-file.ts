import { readFileSync, statSync } from "node:fs";

import { z } from "zod";

import { userSchema } from "../access/options.ts";
import { AgentError, messageOf } from "../contract/errors.ts";
import { problemText } from "./problem.ts";
import { check } from "./schema-problems.ts";
import { readYaml } from "./yaml-source.ts";
import type { UserOptions } from "../access/options.ts";

/** Tens of thousands of users; what is longer is something else. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;

const usersFileSchema = z.array(userSchema);

/**
 * The users of a file: a YAML list, each as in `auth.users`. `[]` is nobody. Throws ARGUMENT with place, reason and suggestion of the first mistake; a
 * file that says nothing is one: it may be about to be written.
 */
export function readUsersFile(file: string): readonly UserOptions[] {
  const text = textOf(file);
  const source = readYaml(text, file);
  const [broken] = source.problems;
  if (broken !== undefined) throw new AgentError("ARGUMENT", problemText(broken));
  if (!Array.isArray(source.data)) {
    throw new AgentError(
      "ARGUMENT",
      problemText(source.problem([], "value", "this is no list of users", "write - { name: …, tokenSha256: … }, or [] for nobody")),
    );
  }
  const { value, problems } = check(source, [], source.data, usersFileSchema);
  if (value === undefined) throw new AgentError("ARGUMENT", problems.map(problemText)[0] ?? `${file} cannot be understood`);
  const names = new Set<string>();
  for (const [index, { name }] of value.entries()) {
    if (names.has(name)) {
      const twice = source.problem(
        [index, "name"],
        "value",
        `there is another user called ${name} in this file`,
        "give each user a name of its own",
      );
      throw new AgentError("ARGUMENT", problemText(twice));
    }
    names.add(name);
  }
  return value;
}

function textOf(file: string): string {
  try {
    const { size } = statSync(file);
    if (size > MAX_FILE_BYTES) throw new AgentError("LIMIT", `it has ${size} bytes, more than ${MAX_FILE_BYTES}`);
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new AgentError("ARGUMENT", `auth.usersFile ${file} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
