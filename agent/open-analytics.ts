import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { AgentError } from "./contract/errors.ts";
import { parseHostPort } from "./listener.ts";
import { writeWhole } from "./state-folder.ts";
import type { AgentConfig } from "./config/load.ts";
import type { Clock } from "./contract/clock.ts";
import type { Log } from "./contract/log.ts";
import type { OpenedMqtt } from "./open-mqtt.ts";
import type { DerivedVariables, ModelShelf } from "../analytics/derived.ts";
import type { Sink } from "../analytics/sinks/sink.ts";
import type { TcpListenSink } from "../analytics/sinks/tcp-listen.ts";
import type { VariableStore } from "../analytics/store.ts";

export interface OpenAnalyticsOptions {
  readonly config: AgentConfig;
  readonly stateFolder: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly mqtt: OpenedMqtt | undefined;
}

/** What is made of variables. */
export interface OpenedAnalytics {
  readonly derived: DerivedVariables | undefined;
  readonly sinks: readonly Sink[];
  /** Where sinks listen: `{ sink: "127.0.0.1:64001" }`, further ones `sink2` and so on. */
  readonly addresses: Readonly<Record<string, string>>;
}

/** Starts what makes something of variables, before any source sets one. What is not configured is not loaded. */
export async function openAnalytics(
  options: OpenAnalyticsOptions,
  variables: VariableStore,
  closers: (() => unknown)[],
): Promise<OpenedAnalytics> {
  const derived = await openDerived(options, variables, closers);
  const sinks: Sink[] = [];
  const bound: string[] = [];
  for (const spec of options.config.analytics.sinks) {
    const sink = await startSink(options, variables, spec);
    closers.push(() => sink.close());
    sinks.push(sink);
    if ("address" in sink) bound.push(sink.address);
  }
  const addresses = Object.fromEntries(bound.map((address, i) => [i === 0 ? "sink" : `sink${i + 1}`, address]));
  return { derived, sinks, addresses };
}

type SinkSpec = AgentConfig["analytics"]["sinks"][number];

async function startSink(
  { clock, log, mqtt }: OpenAnalyticsOptions,
  variables: VariableStore,
  spec: SinkSpec,
): Promise<Sink | TcpListenSink> {
  const shared = { selected: spec, clock, log };
  if ("file" in spec) {
    const { startFileSink } = await import("../analytics/sinks/file.ts");
    return startFileSink({ ...spec, ...shared, path: spec.file, variables });
  }
  if ("mqtt" in spec) {
    const { startMqttSink } = await import("../analytics/sinks/mqtt.ts");
    return startMqttSink({ ...spec, ...shared, topic: spec.mqtt, variables, ...brokerOf(mqtt) });
  }
  const address = { ...spec, ...shared, ...parseHostPort(spec.tcp), variables };
  if (spec.listen) {
    const { startTcpListenSink } = await import("../analytics/sinks/tcp-listen.ts");
    return startTcpListenSink(address);
  }
  const { startTcpSink } = await import("../analytics/sinks/tcp.ts");
  return startTcpSink(address);
}

/** Throws ARGUMENT where none is configured. */
export function brokerOf(mqtt: OpenedMqtt | undefined): OpenedMqtt {
  if (mqtt !== undefined) return mqtt;
  throw new AgentError("ARGUMENT", "analytics: a source or a sink is on a broker, but none is configured; name one with mqtt.url");
}

async function openDerived(
  { config, stateFolder, clock, log }: OpenAnalyticsOptions,
  variables: VariableStore,
  closers: (() => unknown)[],
): Promise<DerivedVariables | undefined> {
  const { derived } = config.analytics;
  if (Object.keys(derived).length === 0) return undefined;
  const { startDerived } = await import("../analytics/derived.ts");
  const started = await startDerived({ derived, variables, shelf: createModelShelf(stateFolder), clock, log });
  closers.push(() => started.close());
  return started;
}

/** `model-NAME.json` in the state folder. */
function createModelShelf(folder: string): ModelShelf {
  const fileOf = (name: string): string => join(folder, `model-${name}.json`);
  return {
    async read(name) {
      try {
        return await readFile(fileOf(name), "utf8");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw error;
      }
    },
    write: (name, text) => writeWhole(fileOf(name), text),
  };
}
