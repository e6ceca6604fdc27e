import { toAgentError } from "../contract/errors.ts";
import { announcedDevices, type Birth } from "./mqtt-birth.ts";
import type { FleetTopics } from "./mqtt-topics.ts";
import type { BrokerFleetOptions } from "./options.ts";
import type { Broker } from "../contract/broker.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";
import type { Caller, Service } from "../contract/request.ts";

export interface AnnouncerOptions {
  readonly broker: Broker;
  readonly topics: FleetTopics;
  readonly self: string;
  readonly version: string;
  readonly boot: string;
  readonly options: BrokerFleetOptions;
  /** Answers DEVICES. */
  readonly devices: Service;
  readonly load: () => number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Announcer {
  readonly announced: number;
  /** Somebody says that this node is offline: it says once more that it is not. */
  contradict(): void;
  close(): void;
}

const RETAINED = { qos: 1, retain: true } as const;

/** Publishes this node's birth: with every connection, when its devices or its load have changed, and so often that nobody takes it for gone. */
export function startAnnouncer({ broker, topics, self, version, boot, options, devices, load, clock, log }: AnnouncerOptions): Announcer {
  const signal = new AbortController();
  const caller: Caller = { name: `fleet of ${self}`, priority: 0, signal: signal.signal };
  const since = clock.wallMs();
  let number = 0;
  let announced = 0;
  let told: { readonly devices: string; readonly load: number; readonly atMs: number } | undefined;
  let looking: Promise<void> | undefined;
  let cancelLook: Cancel | undefined;
  let reported = "";

  function look(): Promise<void> {
    looking ??= announceChanges().finally(() => {
      looking = undefined;
    });
    return looking;
  }

  async function announceChanges(): Promise<void> {
    if (!broker.connected || signal.signal.aborted) return;
    const reply = await devices.handle({ verb: "DEVICES", args: [] }, caller);
    // Whoever cannot say what it has keeps what it said; the devices come back with the device host.
    if (reply.kind !== "value") return;
    const listed = announcedDevices(reply.value);
    const now = { devices: JSON.stringify(listed), load: load(), atMs: clock.monotonicMs() };
    if (told !== undefined && !isNews(told, now)) return;
    const birth: Birth = {
      node: self,
      version,
      boot,
      number: ++number,
      since,
      load: now.load,
      addresses: options.addresses,
      devices: listed,
    };
    // What is retained is written to disk by some brokers, and a cluster that lost its leader has the connection wait for that: only what lasts is.
    const lasts = told?.devices !== now.devices;
    await broker.publish(topics.birth(self), JSON.stringify(birth), lasts ? RETAINED : { qos: 0 });
    told = now;
    announced += 1;
  }

  function isNews(before: NonNullable<typeof told>, now: NonNullable<typeof told>): boolean {
    return (
      before.devices !== now.devices || Math.abs(before.load - now.load) >= options.loadStep || now.atMs - before.atMs >= options.renewMs
    );
  }

  function failed(thrown: unknown): void {
    const { code, message } = toAgentError(thrown);
    // A lost connection is everybody's matter; the rest would be said again with every attempt.
    if (code === "NOT_READY" || code === "IO" || message === reported) return;
    reported = message;
    log.warn({ code }, `this node cannot be announced to the others: ${message}`);
  }

  function lookLater(): void {
    cancelLook = clock.after(options.checkMs, () => {
      look().catch(failed);
      lookLater();
    });
  }

  function anew(): void {
    told = undefined;
    look().catch(failed);
  }

  const cancelConnect = broker.onConnect(anew);
  lookLater();

  return {
    get announced() {
      return announced;
    },
    contradict() {
      if (!broker.connected || signal.signal.aborted) return;
      broker.publish(topics.status(self), "online", RETAINED).catch(failed);
      anew();
    },
    close() {
      signal.abort();
      cancelConnect();
      cancelLook?.();
    },
  };
}
