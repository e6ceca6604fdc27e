import { readFile, rename, writeFile } from "node:fs/promises";

import type { Broker } from "../contract/broker.ts";
import type { Discovery } from "./discovery.ts";
import type { Log } from "../contract/log.ts";

/** What is retained, by topic; for what Home Assistant was told, platforms by the names of components. */
type Announced = Readonly<Record<string, Readonly<Record<string, string>>>>;

export interface Announcer {
  /** Publishes what there is now, and takes back what was announced before, in earlier runs too, and is not there any more. Rejects when the broker does not take it. */
  announce(now: Announcement): Promise<void>;
  /** Resolves when nothing of it is under way any more. */
  settled(): Promise<void>;
  readonly announcements: number;
  readonly removals: number;
}

export interface Announcement {
  /** Undefined when nothing is to be announced: then all that was is taken back. */
  readonly discovery: Discovery | undefined;
  /** What else is retained by others: what was before, and is not any more, is taken back too. */
  readonly retained: readonly string[];
}

export interface AnnouncerOptions {
  readonly broker: Broker;
  /** Where it is remembered what was announced. */
  readonly file: string;
  readonly log: Log;
}

export function createAnnouncer({ broker, file, log }: AnnouncerOptions): Announcer {
  /** Of the latest announcement, also for one that is still under way: what has come back meanwhile is not taken back. */
  let present: Announced = {};
  let discovery: Discovery | undefined;
  let remembered: Promise<Announced> | undefined;
  /** What was present in this run, since all of it was with the broker. */
  let earlier: Announced = {};
  let announcements = 0;
  let removals = 0;
  /** One after the other: a removal is two messages. */
  let last: Promise<void> = Promise.resolve();

  const publish = (topic: string, payload: string): Promise<void> => broker.publish(topic, payload, { retain: true, qos: 1 });

  async function read(): Promise<Announced> {
    try {
      return JSON.parse(await readFile(file, "utf8")) as Announced;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT")
        log.warn({ file, err: error }, "what was announced over MQTT cannot be read; what left the configuration stays announced");
      return {};
    }
  }

  async function run(): Promise<void> {
    const known = await (remembered ??= read());
    const left = earlier;
    const before = merged(known, left);
    for (const topic of Object.keys(before)) {
      if (topic in present) continue;
      // Nothing is retained there any more: Home Assistant forgets the device and all its entities, others a state nobody renews.
      await publish(topic, "");
      removals += 1;
    }
    if (discovery !== undefined) await announceDevice(discovery, before[discovery.topic] ?? {});
    const now = present;
    // Otherwise something else was to be announced meanwhile, and is next.
    if (earlier === left) earlier = {};
    if (JSON.stringify(before) === JSON.stringify(now)) return;
    remembered = Promise.resolve(now);
    await writeFile(`${file}.new`, `${JSON.stringify(now)}\n`);
    await rename(`${file}.new`, file);
  }

  /** A component is forgotten when it comes with its platform alone; from then on it is left out. */
  async function announceDevice(device: Discovery, before: Readonly<Record<string, string>>): Promise<void> {
    const { topic, components } = device;
    const gone = Object.entries(before).filter(([name, platform]) => components[name]?.p !== platform);
    if (gone.length > 0) {
      await publish(topic, device.payload(Object.fromEntries(gone)));
      removals += gone.length;
    }
    await publish(topic, device.payload());
    announcements += 1;
  }

  return {
    announce(now) {
      earlier = merged(earlier, present);
      discovery = now.discovery;
      present = {
        ...Object.fromEntries(now.retained.map((topic) => [topic, {}])),
        ...(discovery !== undefined && { [discovery.topic]: platformsOf(discovery) }),
      };
      last = last.then(run, run);
      return last;
    },
    settled: () => last.catch(() => undefined),
    get announcements() {
      return announcements;
    },
    get removals() {
      return removals;
    },
  };
}

function merged(one: Announced, other: Announced): Announced {
  const topics = [...Object.keys(one), ...Object.keys(other)];
  return Object.fromEntries(topics.map((topic) => [topic, { ...one[topic], ...other[topic] }]));
}

function platformsOf({ components }: Discovery): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(components).map(([name, component]) => [name, component.p]));
}
