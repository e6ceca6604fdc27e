import { createAnnouncer } from "./announced.ts";
import { createAnswers } from "./answers.ts";
import { createArrivals } from "./arrivals.ts";
import { createDeviceStates } from "./device-states.ts";
import { createDiscovery, NODE_EVENTS, type Discovery } from "./discovery.ts";
import { createFaceDevices, type ReportedDevice } from "./face-devices.ts";
import { createKept } from "./kept.ts";
import { createMqttCallers } from "./callers.ts";
import { createRetainedPublisher } from "./publisher.ts";
import { createTopics } from "./topics.ts";
import { messageOf, type AgentError } from "../contract/errors.ts";
import { serveClone } from "./clone.ts";
import { serveDeviceCommands } from "./device-commands.ts";
import { serveNodeRequests } from "./node-requests.ts";
import type { Broker, BrokerMessage } from "../contract/broker.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { EntityDevice } from "../contract/entity-device.ts";
import type { FaceOptions } from "./face-options.ts";
import type { Figures, Permits, Service } from "../contract/request.ts";
import type { Journal, JournalEvent } from "../contract/journal.ts";
import type { Log } from "../contract/log.ts";
import type { Value } from "../contract/value.ts";
import type { VariableReader } from "../contract/variable.ts";

/** How often devices are looked at for what nobody says: values that became too old, devices that are gone with their process. */
const LOOK_MS = 1000;

/** What is said of the devices; a device that is not there is not available. */
export interface NodeReport {
  readonly devices: readonly (ReportedDevice & { readonly outcome: string; readonly faulted: boolean })[];
  readonly eStoppedBy?: string | undefined;
}

export interface FaceDependencies {
  readonly broker: Broker;
  readonly node: string;
  readonly version: string;
  /** First levels of every topic. */
  readonly base: string;
  /** What commands and calls are put to. */
  readonly service: Service;
  /** Those of the configuration whose drivers come with the agent; the others are in the report. */
  readonly devices: readonly EntityDevice[];
  readonly report: () => NodeReport;
  readonly variables: VariableReader;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Log;
  /** Of everybody who commands over MQTT; everything when undefined. */
  readonly permits: Permits | undefined;
  /** Where it is remembered what was announced to Home Assistant. */
  readonly announcedFile: string;
  /** What is retained as the node's description, if anything. */
  readonly description?: ((devices: readonly EntityDevice[]) => Promise<string | undefined>) | undefined;
  /** 0 to 1. */
  readonly random?: () => number;
}

/** Devices as MQTT has them. */
export interface Face {
  figures(): Figures;
  /** Everything that was repeated is let go. */
  close(): Promise<void>;
}

/**
 * Publishes what devices are like, takes commands for them, calls by clone, and requests about the node; announces everything to Home Assistant. What is commanded
 * goes through the same gate as any other caller's; nothing is kept for later, and with the connection everything that was repeated is let go.
 */
export function createFace(options: FaceOptions, dependencies: FaceDependencies): Face {
  const { broker, node, version, base, service, report, variables, journal, clock, log, permits, random = Math.random } = dependencies;
  const { homeAssistant, name, priority, stateMs, refreshS, rememberedIds } = options;
  const topics = createTopics(base, node);
  const devices = createFaceDevices(dependencies.devices);
  const callers = createMqttCallers({ name, priority, permits });
  const arrivals = createArrivals(clock, rememberedIds);
  const answers = createAnswers(broker, base, homeAssistant.prefix);
  const kept = createKept(clock, options);
  const publisher = createRetainedPublisher(broker);
  const refreshMs = refreshS * 1000;
  const states = createDeviceStates({ broker, publisher, topics, variables, clock, stateMs, refreshMs });
  const announcer = createAnnouncer({ broker, file: dependencies.announcedFile, log });
  const startedMs = clock.monotonicMs();
  const cancels: Cancel[] = [];
  const counts = { commands_taken: 0, commands_refused: 0, calls_taken: 0, calls_refused: 0 };
  let healthMs = -Infinity;
  let shownHealth = "";
  let cancelBirth: Cancel | undefined;

  function refuse(error: AgentError, where: string): void {
    counts.commands_refused++;
    log.warn({ topic: where, code: error.code }, `refused over MQTT: ${error.message}`);
  }

  function health(): { readonly [name: string]: Value } {
    const { devices: known, eStoppedBy } = report();
    return {
      stopped: eStoppedBy !== undefined,
      stopped_by: eStoppedBy ?? null,
      devices: known.length,
      faulted: known.filter(({ faulted }) => faulted).length,
      unopened: known.filter(({ outcome }) => outcome === "failed").length,
      uptime_s: Math.floor((clock.monotonicMs() - startedMs) / 1000),
    };
  }

  function info(): Value {
    return {
      node,
      version,
      devices: devices
        .all()
        .map(({ id, summary, entities }) => ({ id, summary, entities: entities.map(({ kind, key }) => ({ kind, key })) })),
    };
  }

  function showAvailability(again: boolean): void {
    const known = new Map(report().devices.map((device) => [device.id, device] as const));
    for (const { id } of devices.all()) {
      const device = known.get(id);
      const online = device?.outcome === "opened" && !device.faulted;
      publisher.put(topics.availability(id), online ? "online" : "offline", again);
    }
  }

  /** What changed, at once; how long it runs only as often as everything else. */
  function showHealth(again: boolean): void {
    const now = health();
    const text = JSON.stringify({ ...now, uptime_s: 0 });
    const nowMs = clock.monotonicMs();
    if (!again && text === shownHealth && nowMs - healthMs < refreshMs) return;
    shownHealth = text;
    healthMs = nowMs;
    publisher.put(topics.bridge("health"), JSON.stringify(now), true);
  }

  function discovery(): Discovery {
    return createDiscovery({
      prefix: homeAssistant.prefix,
      node,
      version,
      topics,
      devices: devices.all(),
      // Three refreshes may be lost.
      expireS: refreshS * 3 + 1,
    });
  }

  /** Devices of modules come and go. Returns whether something is new. */
  function lookForDevices(): boolean {
    const { changed, gone } = devices.look(report().devices);
    if (changed) states.show(devices.all());
    for (const id of gone) kept.drop(id);
    return changed;
  }

  function announce(): void {
    lookForDevices();
    announceAll();
  }

  function announceAll(): void {
    const retained = devices.all().flatMap(({ id }) => [topics.state(id), topics.availability(id)]);
    announcer
      .announce({ discovery: homeAssistant.enabled ? discovery() : undefined, retained })
      .catch((error: unknown) => log.warn({ err: error }, `not announced over MQTT: ${messageOf(error)}`));
    showAvailability(true);
    states.publishAll();
    showHealth(true);
    publisher.put(topics.bridge("info"), JSON.stringify(info()), true);
    describe().catch((error: unknown) => log.warn({ err: error }, `no description over MQTT: ${messageOf(error)}`));
  }

  async function describe(): Promise<void> {
    const text = await dependencies.description?.(devices.all());
    if (text !== undefined) publisher.put(topics.description, text, true);
  }

  function look(): void {
    if (!broker.connected) return;
    if (lookForDevices()) announceAll();
    showAvailability(false);
    states.look();
    showHealth(false);
  }

  /** Home Assistant has started: what it does not know any more comes again, not from all nodes in the same moment. */
  function onBirth({ payload, retained }: BrokerMessage): void {
    if (retained || Buffer.from(payload).toString("utf8") !== "online") return;
    cancelBirth?.();
    cancelBirth = clock.after(random() * homeAssistant.birthDelayMs, announce);
  }

  function onEvent({ kind, subject, caller, detail, wallMs }: JournalEvent): void {
    if (kind === "actuate" && !isOwn(caller)) kept.drop(subject);
    // Whatever makes a device safe, or safe to use again, is no reason to do again what was asked before it.
    else if (kind === "safe" || kind === "fault" || kind === "reset" || kind === "close") kept.drop(subject);
    if (!NODE_EVENTS.some((shown) => shown === kind)) return;
    showAvailability(false);
    showHealth(false);
    if (!broker.connected) return;
    const at = new Date(wallMs).toISOString();
    broker
      .publish(topics.bridge("event"), JSON.stringify({ event_type: kind, device: subject, caller, detail, at }), { qos: 1 })
      .catch((error: unknown) => log.debug({ err: error }, "an event did not get to the broker"));
  }

  /** Ours are `mqtt` and `mqtt NAME`. */
  function isOwn(caller: string): boolean {
    return caller === name || caller.startsWith(`${name} `);
  }

  function onDisconnect(): void {
    kept.dropAll();
    callers.lose();
    publisher.forget();
    cancelBirth?.();
  }

  let cancelLook = clock.after(LOOK_MS, lookAgain);
  function lookAgain(): void {
    cancelLook = clock.after(LOOK_MS, lookAgain);
    look();
  }

  states.show(devices.all());
  const shared = { broker, topics, service, callers, arrivals, answers, onRefused: refuse };
  cancels.push(
    serveDeviceCommands({ ...shared, devices, kept, show: (device) => states.publish(device), onTaken: () => counts.commands_taken++ }),
    serveClone({ ...shared, topic: topics.clone, onCalled: ({ kind }) => counts[kind === "error" ? "calls_refused" : "calls_taken"]++ }),
    serveNodeRequests({ ...shared, health, info, announce }),
    journal.watch(onEvent),
    broker.onDisconnect(onDisconnect),
  );
  if (homeAssistant.enabled) cancels.push(broker.subscribe(`${homeAssistant.prefix}/status`, onBirth, 1));
  cancels.push(broker.onConnect(announce));
  return {
    figures: () => ({
      devices_shown: devices.all().length,
      ...counts,
      commands_stale: arrivals.refusedStale,
      commands_retained: arrivals.ignoredRetained,
      commands_twice: arrivals.ignoredTwice,
      commands_kept: kept.count,
      answers: answers.sent,
      answers_lost: answers.lost,
      states_published: publisher.published,
      states_missing: publisher.missing,
      announcements: announcer.announcements,
      removals: announcer.removals,
    }),
    async close() {
      onDisconnect();
      cancelLook();
      states.close();
      for (const cancel of cancels) cancel();
      await announcer.settled();
    },
  };
}
