import { spawn } from "node:child_process";
import { Duplex } from "node:stream";

import { AgentError } from "../contract/errors.ts";

/** How a process ended: with an exit code, or by a signal. */
export type ExitListener = (code: number | null, signal: NodeJS.Signals | null) => void;

/** The device host's process, as the keeper sees it. */
export interface HostProcess {
  readonly pid: number;
  /** A socket pair: nobody else can connect to it. The other end is descriptor 3 there. */
  readonly stream: Duplex;
  /** Told once, when the process has ended and the kernel has closed all it held open; at once when it has already. */
  onExit(listener: ExitListener): void;
  kill(signal: NodeJS.Signals): void;
}

export interface HostProcessOptions {
  /** The file it runs. */
  readonly script: string;
  /** Options of Node, before the file. */
  readonly nodeArgs?: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Told when the process cannot be started or signalled. */
  readonly onError: (error: AgentError) => void;
}

/** What systemd says to one process only, what descriptor 3 would be taken for, what concerns the network, and what nobody else needs to know. */
const NOT_HANDED_ON = /^(NOTIFY_SOCKET|WATCHDOG_(USEC|PID)|LISTEN_(PID|FDS|FDNAMES)|NODE_CHANNEL_FD|NODE_EXTRA_CA_CERTS|VIRGO_TOKEN)$/;

/** What of the environment the device host gets. */
export function hostEnvironment(env: HostProcessOptions["env"]): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !NOT_HANDED_ON.test(name)));
}

/** Starts the process, without a shell. It writes to the same standard output and error. Throws IO when the system has no room for one more. */
export function startHostProcess({ script, nodeArgs = [], env, onError }: HostProcessOptions): HostProcess {
  const child = spawn(process.execPath, [...nodeArgs, script], {
    stdio: ["ignore", "inherit", "inherit", "pipe"],
    env: hostEnvironment(env),
  });
  child.on("error", (error) => {
    onError(new AgentError("IO", `the device host's process cannot be started or signalled: ${error.message}`, { cause: error }));
  });
  const { pid } = child;
  // Without room for descriptors there are not even streams, whatever the types say.
  const stream = (child.stdio as readonly unknown[] | undefined)?.[3];
  if (pid === undefined || !(stream instanceof Duplex)) {
    throw new AgentError("IO", `${process.execPath} cannot be started; look for too little memory, too many processes or open files`);
  }
  return {
    pid,
    stream,
    onExit(listener) {
      if (child.exitCode === null && child.signalCode === null) child.once("exit", listener);
      else listener(child.exitCode, child.signalCode);
    },
    kill(signal) {
      child.kill(signal);
    },
  };
}
