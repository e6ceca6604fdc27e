import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { median } from "./report.ts";

/** One server, asked for one thing. */
export interface Contender {
  readonly port: number;
  /** `-t set`, or a command with its arguments. */
  readonly command: readonly string[];
}

export interface Load {
  /** Requests each of the 50 connections sends before it waits for the answers. */
  readonly pipeline: number;
  /** Requests in one round. */
  readonly count: number;
  readonly rounds: number;
}

/** Requests per second as redis-benchmark counts them. */
async function requestsPerSecond({ port, command }: Contender, { pipeline, count }: Load): Promise<number> {
  const args = ["-h", "127.0.0.1", "-p", String(port), "-c", "50", "-P", String(pipeline), "-n", String(count), "--csv", ...command];
  const { stdout } = await promisify(execFile)("redis-benchmark", args);
  const last = stdout.trim().split("\n").at(-1) ?? "";
  const perSecond = Number(/^"[^"]*","([\d.]+)"/.exec(last)?.[1]);
  if (Number.isNaN(perSecond)) throw new Error(`redis-benchmark printed ${JSON.stringify(stdout)}`);
  return perSecond;
}

/** Medians of rounds in which all take their turns, so that what disturbs the machine disturbs all alike; a first round of each warms up. */
export async function throughputs(contenders: readonly Contender[], load: Load): Promise<readonly number[]> {
  const measured: number[][] = contenders.map(() => []);
  for (let round = -1; round < load.rounds; round++) {
    for (const [index, contender] of contenders.entries()) {
      const perSecond = await requestsPerSecond(contender, load);
      if (round >= 0) measured[index]?.push(perSecond);
    }
  }
  return measured.map(median);
}
