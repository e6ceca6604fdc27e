import { join } from "node:path";

import { openAudit, type OpenAudit } from "./access/audit.ts";
import { createGuard, type Guard } from "./access/guard.ts";
import { followUsersFile } from "./access/users-file.ts";
import { createUsers, type Users } from "./access/users.ts";
import { readUsersFile } from "./config/users-file.ts";
import type { Tls } from "./access/tls.ts";
import type { AgentConfig } from "./config/load.ts";
import type { Clock } from "./contract/clock.ts";
import type { Journal } from "./contract/journal.ts";
import type { Log } from "./contract/log.ts";

export interface AccessOptions {
  readonly config: AgentConfig;
  readonly stateFolder: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Journal;
  /** Takes what must be closed again, the last one first. */
  readonly closers: (() => unknown)[];
}

/** Who may come in, and the record of it. */
export interface Access {
  readonly audit: OpenAudit | undefined;
  readonly users: Users;
  readonly guard: Guard;
  /** Of the secure listener. */
  readonly tls: Tls | undefined;
}

export async function openAccess({ config, stateFolder, clock, log, journal, closers }: AccessOptions): Promise<Access> {
  const { enabled, file = join(stateFolder, "audit.log"), ...auditOptions } = config.audit;
  const audit = enabled ? await openAudit({ ...auditOptions, file, clock, log, journal, node: config.node }) : undefined;
  if (audit !== undefined) closers.push(() => audit.close());

  const { users: configured, usersFile, ...limits } = config.auth;
  const users = createUsers(configured);
  if (usersFile !== undefined) {
    closers.push(followUsersFile({ file: usersFile, readUsers: () => readUsersFile(usersFile), users, clock, log, audit }));
  }
  const guard = createGuard({ ...limits, clock, ...(audit === undefined ? {} : { audit }) });
  return { audit, users, guard, tls: await openTlsOf(config, clock, log, closers) };
}

/** TLS is loaded only where somebody listens for it. */
async function openTlsOf(config: AgentConfig, clock: Clock, log: Log, closers: (() => unknown)[]): Promise<Tls | undefined> {
  if (config.tls === undefined || config.listen.secure === false) return undefined;
  const { openTls } = await import("./access/tls.ts");
  const tls = openTls({ ...config.tls, clock, log });
  closers.push(() => tls.close());
  return tls;
}
