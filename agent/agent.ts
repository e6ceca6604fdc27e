import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";

import { createAllowList } from "./access/users.ts";
import { AgentError, messageOf } from "./contract/errors.ts";
import { createForwardingDevices, type ForwardingDevices } from "./fleet/forwarding.ts";
import { nodeLoad } from "./fleet/load.ts";
import { openFleet, type OpenFleet } from "./fleet/nodes.ts";
import { createJournal } from "./host/journal.ts";
import { tickEvery } from "./host/ticker.ts";
import { agentInfo } from "./info.ts";
import { parseHostPort, type Listener } from "./listener.ts";
import { deviceSetupOf } from "./device-setup.ts";
import { deviceModules } from "./modules.ts";
import { openDevices, type NodeDevices } from "./open-devices.ts";
import { openAccess } from "./open-access.ts";
import { brokerOf, openAnalytics } from "./open-analytics.ts";
import { openBrokerFleet } from "./open-broker-fleet.ts";
import { openFace } from "./open-face.ts";
import { openMqtt, type OpenedMqtt } from "./open-mqtt.ts";
import { openServices } from "./open-services.ts";
import { openPorts } from "./ports.ts";
import { lockStateFolder, makeStateFolder, writeWhole } from "./state-folder.ts";
import { CLONE_CALL, CLONE_TOKEN, cloneGrammar } from "./wire/classic-clone.ts";
import { EVENTNET_EDGE, EVENTNET_VERTEX, eventsGrammar } from "./wire/classic-events.ts";
import { FILES_WRITE, filesGrammar } from "./wire/classic-files.ts";
import { MEMORY_CLASSIC_VERBS, memoryGrammar } from "./wire/classic-memory.ts";
import { createQueueGrammar, QUEUE_TOKEN } from "./wire/classic-queue.ts";
import type { AgentConfig } from "./config/load.ts";
import type { Board } from "./contract/board.ts";
import type { Broker } from "./contract/broker.ts";
import type { DeviceModule } from "./contract/device.ts";
import type { KeeperState } from "./keeper.ts";
import type { HostProcess } from "./keeper/process.ts";
import type { Clock } from "./contract/clock.ts";
import type { TlsMaterial } from "./fleet/connection.ts";
import type { Journal } from "./contract/journal.ts";
import type { Log } from "./contract/log.ts";
import type { Source } from "../analytics/sources/source.ts";
import { createVariableStore, type VariableStore } from "../analytics/store.ts";

export interface AgentOptions {
  readonly config: AgentConfig;
  /** Where listen.json, logs of executables and what is durable go; made when it is not there. */
  readonly stateFolder: string;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Used instead of the configured board: the devices then open in this process. */
  readonly board?: Board;
  /** Handed on to the device host; empty when absent. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A device host that was started already, to be used or ended. */
  readonly deviceHost?: HostProcess | undefined;
  /** Called whenever the control loop advances, and regularly where none is expected to: what a watchdog is kicked for. */
  readonly onAlive?: (() => void) | undefined;
  /** Called when the device host changes its state, with the reason. */
  readonly onState?: ((state: KeeperState, why: string) => void) | undefined;
  /** Whose drivers the configuration was checked against; those that come with the agent when absent. */
  readonly modules?: readonly DeviceModule[];
}

/** One running node. */
export interface Agent {
  /** What was bound, by listener: `{ clone: "127.0.0.1:10000" }`; the same as `<state>/listen.json`. */
  readonly addresses: Readonly<Record<string, string>>;
  readonly devices: NodeDevices;
  readonly variables: VariableStore;
  readonly journal: Journal;
  /** Every device to its exit state first, then everything else closed. Calling it again waits for the same end. */
  stop(): Promise<void>;
}

/** Opens the board and the devices, then listens. Rejects with AgentError when it cannot; what was opened is closed then, devices in their exit state. */
export async function createAgent(options: AgentOptions): Promise<Agent> {
  const { config, stateFolder, version, clock, log } = options;
  const closers: (() => Promise<void> | void)[] = [];
  /** In reverse order of opening; one that fails does not keep the others open. */
  async function closeAll(): Promise<void> {
    for (let close = closers.pop(); close !== undefined; close = closers.pop()) {
      try {
        await close();
      } catch (error) {
        log.error({ err: error }, "something did not close");
      }
    }
  }

  try {
    await makeStateFolder(stateFolder);
    closers.push(await lockStateFolder(stateFolder));
    const startedMs = clock.monotonicMs();
    const journal = createJournal(clock);
    const access = await openAccess({ config, stateFolder, clock, log, journal, closers });
    const variables = createVariableStore({
      clock,
      limits: config.limits,
      declared: config.analytics.variables,
      defaultStaleMs: config.analytics.staleMs,
    });
    const mqtt = await openMqtt(options, closers);
    const { devices: nodeDevices, started } = await openNodeDevices(options, journal, variables, closers);
    closers.push(() => nodeDevices.stop());

    const { fleet, devices } = await openNodes(options, nodeDevices, mqtt?.broker, closers);
    const services = await openServices({ config, stateFolder, clock, log, journal, variables, devices, fleet, closers });
    const face = await openFace(options, { mqtt, service: services.clone, nodeDevices, variables, journal }, closers);
    const analytics = await openAnalytics({ ...options, mqtt }, variables, closers);
    const sources = await startSources(options, variables, mqtt, closers);

    const listeners: Listener[] = [];
    const info = () =>
      agentInfo({
        config,
        version,
        clock,
        startedMs,
        report: nodeDevices.report(),
        keeper: nodeDevices.figures?.(),
        journal,
        variables,
        audit: access.audit,
        services,
        devices,
        fleet,
        mqtt,
        face,
        listeners,
        sources: sources.map(({ source }) => source),
        analytics,
      });
    await started;
    const { listen } = config;
    await openPorts({
      ports: [
        { name: "clone", address: listen.clone, service: services.clone, grammar: cloneGrammar, classicVerbs: [CLONE_TOKEN, CLONE_CALL] },
        {
          name: "eventnet",
          address: listen.eventnet,
          service: services.events,
          grammar: eventsGrammar,
          classicVerbs: [EVENTNET_EDGE, EVENTNET_VERTEX],
        },
        {
          name: "memory",
          address: listen.memory,
          service: services.memory,
          grammar: memoryGrammar,
          classicVerbs: MEMORY_CLASSIC_VERBS,
        },
        { name: "files", address: listen.files, service: services.files, grammar: filesGrammar, classicVerbs: [FILES_WRITE] },
        {
          name: "queue",
          address: listen.queue,
          service: services.queue,
          grammar: createQueueGrammar(config.classic),
          classicVerbs: [QUEUE_TOKEN],
        },
      ],
      services: services.all,
      gateway: listen.gateway,
      secure: access.tls === undefined || listen.secure === false ? undefined : { address: listen.secure, tls: access.tls },
      listener: { limits: config.limits, clock, log, ...(access.audit === undefined ? {} : { audit: access.audit }) },
      conversation: { node: config.node, version, users: access.users, guard: access.guard, info, limits: config.limits },
      classicAllows: createAllowList(config.classic.allow),
      opened(listener) {
        listeners.push(listener);
        closers.push(() => listener.close());
      },
    });

    const addresses = Object.fromEntries([
      ...listeners.map(({ name, address }) => [name, address] as const),
      ...Object.entries(analytics.addresses),
      ...sources.flatMap(({ bound }) => (bound === undefined ? [] : [["analytics", bound] as const])),
    ]);
    const listenFile = join(stateFolder, "listen.json");
    // Devices must be served also on a full disk; only the command line has to be told the port then.
    await writeWhole(listenFile, `${JSON.stringify(addresses)}\n`).catch((error: unknown) => {
      log.error({ file: listenFile, err: error, ...addresses }, "cannot write what was bound; name the agent with --host and --port");
    });
    closers.push(() => rm(listenFile, { force: true }));
    // Whoever is on this machine is served first, and never waits for a broker.
    mqtt?.start();
    // Nothing new is ordered and what moves is made safe before anything else is closed.
    closers.push(async () => {
      nodeDevices.stopRules();
      services.queue.stopHandlers();
      await nodeDevices.stop();
    });
    let stopped: Promise<void> | undefined;
    return { addresses, devices: nodeDevices, variables, journal, stop: () => (stopped ??= closeAll()) };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** The devices in a process of their own, which starts while everything else is opened; in this one when the configuration says so, or when the board is in this process. */
async function openNodeDevices(
  { config, stateFolder, version, clock, log, board, modules = deviceModules, env = {}, deviceHost, onAlive, onState }: AgentOptions,
  journal: Journal,
  variables: VariableStore,
  closers: (() => unknown)[],
): Promise<{ readonly devices: NodeDevices; readonly started?: Promise<void> }> {
  const setup = deviceSetupOf(config);
  const shared = { setup, clock, log, journal, variables };
  if (config.isolation === "none" || board !== undefined) {
    deviceHost?.kill("SIGTERM");
    const devices = await openDevices({ ...shared, version, modules, board });
    if (onAlive !== undefined) closers.push(tickEvery(clock, config.keeper.heartbeatMs, onAlive));
    return { devices };
  }
  const { openKeptDevices } = await import("./kept-devices.ts");
  const specs = config.devices.map(({ id, driver, options, common }) => ({ id, driver, options, policy: common }));
  return openKeptDevices({ ...shared, specs, stateFolder, env, deviceHost, keeper: config.keeper, onAlive, onState });
}

/** The other nodes, and this node's devices with those of the others behind them. */
async function openNodes(
  { config, version, clock, log }: AgentOptions,
  local: NodeDevices,
  broker: Broker | undefined,
  closers: (() => unknown)[],
): Promise<{ readonly fleet: OpenFleet; readonly devices: ForwardingDevices }> {
  const load = () => nodeLoad(devices.running).load;
  const fleet = await openFleet({
    options: config.fleet,
    node: config.node,
    devices: local,
    load,
    others: await openBrokerFleet({ config, version, broker, devices: local, load, clock, log }),
    tls: await tlsMaterial(config.tls),
    clock,
    log,
  });
  closers.push(() => fleet.close());
  const devices = createForwardingDevices({ devices: local, fleet, deadlineMs: config.fleet.deadlineMs, clock });
  return { fleet, devices };
}

/** What this node shows to others, and whom it trusts, read again for every connection. Rejects IO when it cannot be read now. */
async function tlsMaterial(tls: AgentConfig["tls"]): Promise<(() => Promise<TlsMaterial>) | undefined> {
  if (tls === undefined) return undefined;
  const read = async (): Promise<TlsMaterial> => {
    const [ca, certificate, key] = await Promise.all([readText(tls.ca), readText(tls.certificate), readText(tls.key)]);
    return { ca, certificate, key };
  };
  await read();
  return read;
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new AgentError("IO", `cannot read ${file}, which tls names: ${messageOf(error)}`, { cause: error });
  }
}

type SourceSpec = AgentConfig["analytics"]["sources"][number];

/** A source, and where it listens if it does. */
interface StartedSource {
  readonly source: Source;
  readonly bound: string | undefined;
}

async function startSources(
  options: AgentOptions,
  variables: VariableStore,
  mqtt: OpenedMqtt | undefined,
  closers: (() => unknown)[],
): Promise<readonly StartedSource[]> {
  const started: StartedSource[] = [];
  for (const spec of options.config.analytics.sources) {
    const next = await startSource(options, variables, mqtt, spec);
    closers.push(() => next.source.close());
    started.push(next);
  }
  return started;
}

async function startSource(
  { config, clock, log }: AgentOptions,
  variables: VariableStore,
  mqtt: OpenedMqtt | undefined,
  spec: SourceSpec,
): Promise<StartedSource> {
  const shared = { variables, limits: config.limits, clock, log };
  if ("file" in spec) {
    const { startFileSource } = await import("../analytics/sources/file.ts");
    return { source: startFileSource({ ...shared, path: spec.file }), bound: undefined };
  }
  if ("log" in spec) {
    const { startLogSource } = await import("../analytics/sources/log.ts");
    return { source: startLogSource({ ...shared, options: spec }), bound: undefined };
  }
  if ("mqtt" in spec) {
    const { startMqttSource } = await import("../analytics/sources/mqtt.ts");
    return { source: startMqttSource({ ...shared, ...spec, filter: spec.mqtt, broker: brokerOf(mqtt).broker }), bound: undefined };
  }
  const address = { ...shared, ...parseHostPort(spec.tcp), idleMs: spec.idleMs };
  if (spec.listen) {
    const { startTcpListenSource } = await import("../analytics/sources/tcp-listen.ts");
    const source = await startTcpListenSource(address);
    return { source, bound: source.address };
  }
  const { startTcpSource } = await import("../analytics/sources/tcp.ts");
  return { source: startTcpSource(address), bound: undefined };
}
