import { messageOf } from "../contract/errors.ts";
import { followFiles } from "./followed-files.ts";
import type { Audit } from "../contract/audit.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";
import type { UserEntry, Users } from "./users.ts";

export interface UsersFileOptions {
  /** `auth.usersFile` */
  readonly file: string;
  /** Reads and checks it. Throws AgentError with what is wrong. */
  readonly readUsers: () => readonly UserEntry[];
  readonly users: Users;
  readonly clock: Clock;
  readonly log: Log;
  readonly audit?: Audit | undefined;
}

/**
 * Takes the users of the file, and takes them again whenever it changes, within a second. A file that is broken, or not there, changes nothing: those
 * who could come in still can, those who were revoked still cannot. Until it can be read for the first time it has no users.
 */
export function followUsersFile({ file, readUsers, users, clock, log, audit }: UsersFileOptions): Cancel {
  let before: ReadonlyMap<string, UserEntry> = new Map();

  function take(): void {
    let read: readonly UserEntry[];
    try {
      read = readUsers();
      users.replace(read);
    } catch (error) {
      log.error({ file }, `${messageOf(error)}; the users read before stay`);
      audit?.record("authenticate", "", "auth.usersFile", "not taken: it has a mistake; the users read before stay");
      return;
    }
    log.info({ file, users: read.length }, `${read.length} users were read from ${file}`);
    const now = new Map(read.map((user) => [user.name, user]));
    for (const [name, what] of changesBetween(before, now)) audit?.record("authenticate", "", name, `${what} by auth.usersFile`);
    before = now;
  }

  take();
  return followFiles({ files: [file], clock, changed: take });
}

/** What became of whom. */
function* changesBetween(
  before: ReadonlyMap<string, UserEntry>,
  now: ReadonlyMap<string, UserEntry>,
): Generator<readonly [string, string]> {
  for (const [name, user] of now) {
    const known = before.get(name);
    if (known === undefined) yield [name, user.revoked === true ? "added, revoked" : "added"];
    else if (JSON.stringify(known) !== JSON.stringify(user)) yield [name, user.revoked === true ? "revoked" : "changed"];
  }
  for (const name of before.keys()) if (!now.has(name)) yield [name, "removed"];
}
