import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

import { plainEnvironment } from "../../processes.ts";

/** A publisher's process. */
export interface Publishing {
  /** Of the queued messages of this run those that are on disk: the first so many. */
  readonly kept: number;
  /** Messages that the broker has not acknowledged; -1 before it is known. */
  readonly waiting: number;
  queue(topic: string, text: string): void;
  latest(topic: string, text: string): void;
  kill(): Promise<void>;
}

export function startPublishing(url: string, folder: string, onCommand: (text: string) => void): Publishing {
  const program = new URL("publisher.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, ["--import", "tsx", program, url, folder], {
    stdio: ["pipe", "pipe", "inherit"],
    env: plainEnvironment(),
  });
  let kept = 0;
  let waiting = -1;
  // It is killed while it is written to.
  child.stdin.on("error", () => child.stdin.destroy());
  createInterface(child.stdout).on("line", (line) => {
    const [word, first = "", second = ""] = line.split(" ");
    if (word === "command") onCommand(first);
    else if (word === "kept") [kept, waiting] = [Number(first), Number(second)];
  });
  const write = (line: string): void => {
    if (child.stdin.writable) child.stdin.write(line);
  };
  return {
    get kept() {
      return kept;
    },
    get waiting() {
      return waiting;
    },
    queue: (topic, text) => write(`q ${topic} ${text}\n`),
    latest: (topic, text) => write(`l ${topic} ${text}\n`),
    async kill() {
      const exited = once(child, "close");
      child.kill("SIGKILL");
      await exited;
    },
  };
}
