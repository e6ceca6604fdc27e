import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import t from "tap";

import { EXIT_STATE_CALLS, EXIT_STATE_DEVICES } from "./exit-states.ts";
import { GATEWAY_ONLY } from "../helpers/free-ports.ts";
import { connectRaw } from "../helpers/raw-client.ts";
import { eventually } from "../helpers/start-agent.ts";
import { plainNode } from "../helpers/tools.ts";

const TRACED_AGENT = fileURLToPath(new URL("./traced-agent.ts", import.meta.url));

/** Writes down what happened on each of the lines. */
const TRACER = "  tracer: { driver: tracer, lines: [GPIO17, GPIO18, GPIO22, GPIO23, GPIO24, GPIO25], file: TRACE }\n";

/** Every line's whole life: claimed at its safe level, driven, taken to its exit state, given back. Nothing else. */
const LIVES = {
  GPIO17: "output:low high low release:low",
  GPIO18: "output:high low high release:low",
  GPIO22: "output:high low high release:low",
  GPIO23: "output:low high release:low",
  GPIO24: "output:low high release:low",
  GPIO25: "output:low release:low",
};

interface Child {
  readonly process: ChildProcess;
  ask(line: string): Promise<string>;
  /** Exit code or signal, and what the pins did. */
  readonly ended: Promise<{ readonly how: number | string; readonly trace: unknown; readonly listening: boolean }>;
}

async function startTracedAgent(t: { teardown(handler: () => unknown): void }): Promise<Child> {
  const folder = mkdtempSync(join(tmpdir(), "virgo-ending-"));
  const [config, state, trace] = [join(folder, "virgo.yaml"), join(folder, "state"), join(folder, "trace.json")];
  const listen = `node: traced\nboard: sim\nisolation: none\n${GATEWAY_ONLY}`;
  writeFileSync(config, listen + EXIT_STATE_DEVICES + TRACER.replace("TRACE", trace));
  const child = spawn(...plainNode(["--import", "tsx", TRACED_AGENT, config, state]), {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const listenFile = join(state, "listen.json");
  const ended = new Promise<Awaited<Child["ended"]>>((resolve) => {
    child.once("exit", (code, signal) => {
      const text = existsSync(trace) ? readFileSync(trace, "utf8") : "null";
      resolve({ how: signal ?? code ?? -1, trace: JSON.parse(text), listening: existsSync(listenFile) });
    });
  });
  t.teardown(() => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  await eventually(() => existsSync(listenFile));
  const { gateway } = JSON.parse(readFileSync(listenFile, "utf8")) as { gateway: string };
  const ask = async (line: string): Promise<string> => {
    const client = await connectRaw(gateway);
    client.send(`${line}\r\n`);
    client.end();
    return client.rest();
  };
  for (const call of EXIT_STATE_CALLS) await ask(`CLONE ${call}`);
  return { process: child, ask, ended };
}

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  t.test(`${signal}: every actuator is in its exit state before the process ends, and no pin did anything else`, async (t) => {
    const child = await startTracedAgent(t);
    child.process.kill(signal);
    child.process.kill(signal);
    t.same(await child.ended, { how: 0, trace: LIVES, listening: false });
  });
}

for (const [how, call] of [
  ["an exception thrown by a driver where nobody catches it", "tracer.explode"],
  ["a rejection that a driver leaves unhandled", "tracer.reject"],
] as const) {
  t.test(`${how}: every actuator is in its exit state before the process ends`, async (t) => {
    const child = await startTracedAgent(t);
    await child.ask(`CLONE ${call}`);
    t.same(await child.ended, { how: 70, trace: LIVES, listening: false });
  });
}
