import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { AgentError, messageOf } from "./contract/errors.ts";
import type { AgentConfig } from "./config/load.ts";
import type { Broker, Outbox } from "./contract/broker.ts";
import type { Clock } from "./contract/clock.ts";
import type { Log } from "./contract/log.ts";
import type { BrokerSecrets } from "./mqtt/broker-connection.ts";
import type { MqttOptions } from "./mqtt/options.ts";

export interface OpenMqttOptions {
  readonly config: AgentConfig;
  readonly stateFolder: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** The broker, and what waits for it. */
export interface OpenedMqtt {
  readonly broker: Broker;
  readonly outbox: Outbox;
  /** Begins to connect. */
  start(): void;
}

/** Undefined, and nothing loaded, when no broker is configured. Connects to nothing before it is started. */
export async function openMqtt(options: OpenMqttOptions, closers: (() => unknown)[]): Promise<OpenedMqtt | undefined> {
  const { config, stateFolder, clock, log } = options;
  const { mqtt, node } = config;
  if (mqtt === undefined) return undefined;
  const [{ createBroker }, { createOutbox }] = await Promise.all([import("./mqtt/broker.ts"), import("./mqtt/outbox.ts")]);
  const broker = createBroker(mqtt, { node, clock, log, readSecrets: () => readSecrets(mqtt) });
  closers.push(() => broker.close());
  const { outbox: outboxOptions, maxMessageBytes } = mqtt;
  const outbox = createOutbox({ folder: join(stateFolder, "outbox"), options: outboxOptions, maxMessageBytes, broker, clock, log });
  closers.push(() => outbox.close());
  return {
    broker,
    outbox,
    start() {
      outbox.start();
      broker.start();
    },
  };
}

async function readSecrets({ passwordFile, ca, certificate, key }: MqttOptions): Promise<BrokerSecrets> {
  const read = async (option: string, file: string | undefined): Promise<string | undefined> => {
    if (file === undefined) return undefined;
    try {
      return await readFile(file, "utf8");
    } catch (error) {
      throw new AgentError("IO", `cannot read ${file}, which mqtt.${option} names: ${messageOf(error)}`, { cause: error });
    }
  };
  // Whatever is none would be left out without a word.
  const readPem = async (option: string, file: string | undefined, kind: string): Promise<string | undefined> => {
    const text = await read(option, file);
    if (text === undefined || new RegExp(`-----BEGIN [A-Z ]*${kind}-----`).test(text)) return text;
    throw new AgentError("ARGUMENT", `${file ?? ""}, which mqtt.${option} names, holds no ${kind} in PEM`);
  };
  const password = await read("passwordFile", passwordFile);
  return {
    // An editor ends the file with a line break.
    password: password?.replace(/\r?\n$/, ""),
    ca: await readPem("ca", ca, "CERTIFICATE"),
    certificate: await readPem("certificate", certificate, "CERTIFICATE"),
    key: await readPem("key", key, "PRIVATE KEY"),
  };
}
