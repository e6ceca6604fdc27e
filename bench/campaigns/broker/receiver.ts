import { connectAsync } from "mqtt";

/** An independent subscriber, and what it makes of what it hears. */
export interface Receiver {
  /** Queued texts that were seen, once each. */
  readonly seen: ReadonlySet<string>;
  /** The same id again, which a receiver passes over. */
  readonly repeated: number;
  /** The same text under another id. */
  readonly twice: number;
  /** A lower number after a higher one on one topic. */
  readonly disordered: number;
  readonly withoutId: number;
  /** Of latest topics: what was set before the last `mark`, but for the newest. */
  readonly outdated: number;
  /** By latest topic, the number heard last. */
  readonly newest: ReadonlyMap<string, number>;
  /** From now on nothing older than that may come. */
  mark(newest: ReadonlyMap<string, number>): void;
  /** Connects, anew after the broker was gone, and subscribes. */
  attend(): Promise<void>;
  send(topic: string, text: string, retain: boolean): Promise<void>;
  leave(): Promise<void>;
}

export function createReceiver(url: string): Receiver {
  const ids = new Set<string>();
  const seen = new Set<string>();
  const highest = new Map<string, number>();
  const newest = new Map<string, number>();
  const counts = { repeated: 0, twice: 0, disordered: 0, withoutId: 0, outdated: 0 };
  let oldestAllowed: ReadonlyMap<string, number> = new Map();
  let client: Awaited<ReturnType<typeof connectAsync>> | undefined;

  function takeQueued(topic: string, text: string, id: unknown): void {
    if (typeof id !== "string") counts.withoutId += 1;
    else if (ids.has(id)) {
      counts.repeated += 1;
      return;
    } else ids.add(id);
    if (seen.has(text)) counts.twice += 1;
    seen.add(text);
    const number = Number(text);
    if (number < (highest.get(topic) ?? -1)) counts.disordered += 1;
    highest.set(topic, number);
  }

  function takeLatest(topic: string, text: string): void {
    const number = Number(text);
    if (number < (oldestAllowed.get(topic) ?? -1)) counts.outdated += 1;
    if (number < (newest.get(topic) ?? -1)) counts.disordered += 1;
    newest.set(topic, number);
  }

  return {
    seen,
    newest,
    get repeated() {
      return counts.repeated;
    },
    get twice() {
      return counts.twice;
    },
    get disordered() {
      return counts.disordered;
    },
    get withoutId() {
      return counts.withoutId;
    },
    get outdated() {
      return counts.outdated;
    },
    mark(allowed) {
      oldestAllowed = new Map(allowed);
    },
    async attend() {
      client?.end(true);
      client = await connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0 });
      client.on("error", () => client?.end(true));
      client.on("message", (topic, payload, packet) => {
        if (topic.startsWith("queued/")) takeQueued(topic, payload.toString(), packet.properties?.userProperties?.["id"]);
        else takeLatest(topic, payload.toString());
      });
      await client.subscribeAsync(["queued/#", "latest/#"], { qos: 1 });
    },
    async send(topic, text, retain) {
      await client?.publishAsync(topic, text, { qos: 1, retain });
    },
    async leave() {
      await client?.endAsync(true);
    },
  };
}
