import { join } from "node:path";

import { compilePermits } from "./access/permits.ts";
import { entityDevice, type EntityDevice } from "./contract/entity-device.ts";
import { thingDescription, thingsOf } from "./thing-description.ts";
import type { AgentConfig } from "./config/load.ts";
import type { Caller, Service } from "./contract/request.ts";
import type { Clock } from "./contract/clock.ts";
import type { Face } from "./mqtt/face.ts";
import type { Journal } from "./contract/journal.ts";
import type { Log } from "./contract/log.ts";
import type { NodeDevices } from "./open-devices.ts";
import type { OpenedMqtt } from "./open-mqtt.ts";
import type { VariableStore } from "./contract/variable.ts";

export interface OpenFaceOptions {
  readonly config: AgentConfig;
  readonly stateFolder: string;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface FaceParts {
  readonly mqtt: OpenedMqtt | undefined;
  /** What commands are put to. */
  readonly service: Service;
  readonly nodeDevices: NodeDevices;
  readonly variables: VariableStore;
  readonly journal: Journal;
}

/** Devices over MQTT, when there is a broker and the configuration does not say otherwise; nothing is loaded where there is none. */
export async function openFace(options: OpenFaceOptions, parts: FaceParts, closers: (() => unknown)[]): Promise<Face | undefined> {
  const { config, stateFolder, version, clock, log } = options;
  const { mqtt, service, nodeDevices, variables, journal } = parts;
  if (mqtt === undefined || config.mqtt?.devices.enabled !== true) return undefined;
  const { base, devices: faceOptions } = config.mqtt;
  const { createFace } = await import("./mqtt/face.ts");
  const permits = faceOptions.allow.includes("*") ? undefined : compilePermits(faceOptions.allow);
  const devices = config.devices.map(({ id, driver, options: own, common }) => entityDevice({ id, driver, options: own, policy: common }));
  const caller: Caller = {
    name: faceOptions.name,
    priority: 0,
    signal: new AbortController().signal,
    ...(permits !== undefined && { permits }),
  };

  async function description(known: readonly EntityDevice[]): Promise<string | undefined> {
    const reply = await service.handle({ verb: "DEVICES", args: [] }, caller);
    if (reply.kind !== "value") return undefined;
    const things = thingsOf(reply.value, known);
    return JSON.stringify(thingDescription({ node: config.node, version, things, mqtt: { url: config.mqtt?.url ?? "", base } }));
  }

  const face = createFace(faceOptions, {
    broker: mqtt.broker,
    node: config.node,
    version,
    base,
    service,
    devices,
    report: () => nodeDevices.report(),
    variables,
    journal,
    clock,
    log,
    permits,
    announcedFile: join(stateFolder, "mqtt-announced.json"),
    description,
  });
  closers.push(() => face.close());
  return face;
}
