// Machines in one: a namespace of the network for each, all on one bridge. Needs root.
import { execFileSync } from "node:child_process";

const PREFIX = "virgo-pt-";
const HUB = `${PREFIX}hub`;
const BRIDGE = "br0";

/** From the range for benchmarks (RFC 2544), inside namespaces of their own. */
const SUBNET = "198.18.0";

export interface Machine {
  readonly name: string;
  readonly address: string;
  /** What a command of this machine begins with. */
  readonly prefix: readonly string[];
  /** Pulls its cable out, or puts it in again. */
  link(connected: boolean): void;
}

function ip(...args: readonly string[]): string {
  return execFileSync("ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Removes every namespace of an earlier run, and what still runs in it. */
export function removeNetwork(): void {
  for (const line of ip("netns", "list").split("\n")) {
    const name = line.split(" ")[0] ?? "";
    if (!name.startsWith(PREFIX)) continue;
    for (const pid of ip("netns", "pids", name).split("\n").filter(Boolean)) {
      try {
        process.kill(Number(pid), "SIGKILL");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
    }
    ip("netns", "del", name);
  }
}

/** Throws when namespaces cannot be made here. */
export function buildNetwork(names: readonly string[]): readonly Machine[] {
  removeNetwork();
  ip("netns", "add", HUB);
  ip("-n", HUB, "link", "add", BRIDGE, "type", "bridge");
  ip("-n", HUB, "link", "set", BRIDGE, "up");
  return names.map((name, index) => addMachine(name, `${SUBNET}.${index + 1}`));
}

function addMachine(name: string, address: string): Machine {
  const namespace = `${PREFIX}${name}`;
  // Of the cable's two ends one is in the machine, the other, with the machine's name, in the hub.
  ip("netns", "add", namespace);
  ip("-n", HUB, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", namespace);
  ip("-n", HUB, "link", "set", name, "master", BRIDGE, "up");
  ip("-n", namespace, "addr", "add", `${address}/24`, "dev", "eth0");
  for (const device of ["lo", "eth0"]) ip("-n", namespace, "link", "set", device, "up");
  return {
    ...{ name, address, prefix: ["ip", "netns", "exec", namespace] },
    link: (connected) => void ip("-n", HUB, "link", "set", name, connected ? "up" : "down"),
  };
}
