import { createServer } from "node:net";

import { messageOf } from "../contract/errors.ts";
import { parseListenAddress } from "../listener.ts";
import { mend, note, ok } from "./finding.ts";
import type { AgentConfig } from "../config/load.ts";
import type { ListenAddress } from "../listener.ts";
import type { Finding } from "./finding.ts";

/** Whether the agent can listen where it is to; `listening` is what a running agent says it listens on. */
export async function portFindings(
  config: AgentConfig | undefined,
  listening: Readonly<Record<string, string>>,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const [name, address] of Object.entries(config?.listen ?? {})) {
    if (address !== false) findings.push(await portFinding(name, address, listening));
  }
  return findings;
}

async function portFinding(name: string, address: string, listening: Readonly<Record<string, string>>): Promise<Finding> {
  const about = `listen.${name}`;
  if (listening[name] === address) return ok(about, `${address}, an agent is running there`);
  const target = parseListenAddress(address);
  const error = await bindError(target);
  if (error === undefined) return ok(about, `${address} is free`);
  const port = "port" in target ? target.port : 0;
  switch (error.code) {
    case "EADDRINUSE":
      return mend(about, `${address} is in use by another program`, `sudo ss -ltnp 'sport = :${port}'`);
    case "EACCES":
      return mend(
        about,
        `${address} may not be bound: ports below 1024 are root's`,
        `sudo sysctl net.ipv4.ip_unprivileged_port_start=${port}`,
      );
    case "EADDRNOTAVAIL":
      return mend(about, `${address} is not an address of this machine`, "ip -brief address");
    default:
      return note(about, `${address}: ${messageOf(error)}`);
  }
}

/** What binding there fails with. */
function bindError(target: ListenAddress): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", resolve);
    server.listen(target, () => {
      server.close(() => {
        resolve(undefined);
      });
    });
  });
}
