import { randomBytes } from "node:crypto";

import { startAnnouncer } from "./mqtt-announcer.ts";
import { createAsker } from "./mqtt-asker.ts";
import { createController } from "./mqtt-control.ts";
import { serveOrders } from "./mqtt-orders.ts";
import { createFoundNodes } from "./mqtt-registry.ts";
import { createFleetTopics } from "./mqtt-topics.ts";
import type { FoundNode } from "./mqtt-registry.ts";
import type { FoundReport, OtherNodes } from "./nodes.ts";
import type { BrokerFleetOptions } from "./options.ts";
import type { Broker } from "../contract/broker.ts";
import type { Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";
import type { Permits, Service } from "../contract/request.ts";

export interface BrokerFleetSetup {
  readonly broker: Broker;
  /** What all topics begin with. */
  readonly base: string;
  readonly options: BrokerFleetOptions;
  /** This node's name. */
  readonly node: string;
  readonly version: string;
  /** The devices of this node alone: what comes over the broker is not sent on. */
  readonly devices: Service;
  /** What other nodes may use here; everything when undefined. */
  readonly permits: Permits | undefined;
  readonly load: () => number;
  readonly clock: Clock;
  readonly log: Log;
}

/** The nodes that find each other through a broker; announces this one there and takes their orders. */
export function openBrokerFleet(setup: BrokerFleetSetup): OtherNodes {
  const { broker, options, node: self, version, devices, permits, load, clock, log } = setup;
  const topics = createFleetTopics(setup.base);
  const boot = randomBytes(6).toString("hex");
  const found = createFoundNodes({ broker, topics, self, options, clock, log });
  const asker = createAsker({ broker, topics, self, boot, maxOpen: options.maxOpen, clock });
  const controller = createController({ asker, found, options, clock });
  const orders = serveOrders({ broker, topics, self, options, permits, devices });
  const announcer = startAnnouncer({ broker, topics, self, version, boot, options, devices, load, clock, log });
  found.onOwnOffline = () => announcer.contradict();

  const loadOf = ({ birth, inFlight }: FoundNode): number => birth.load + inFlight;

  function report(node: FoundNode, answeredMs?: number | null): FoundReport {
    const { health, reason = null, online } = found.state(node);
    const { birth, heardMs, asked, failed } = node;
    const { version, since } = birth;
    const address = ["mqtt", ...birth.addresses].join(" ");
    const heardS = Math.max(0, Math.round((clock.monotonicMs() - heardMs) / 1000));
    return {
      ...{ node: birth.node, address, health, reason, load: loadOf(node), abilities: birth.abilities, asked, failed },
      broker: { version, since, heardS, online, ...(answeredMs !== undefined && { answeredMs }) },
    };
  }

  /** Half of what may be open at once is left to those who have something to do. */
  async function askAll(nodes: readonly FoundNode[], deadlineMs: number): Promise<ReadonlyMap<FoundNode, number | null>> {
    const answers = new Map<FoundNode, number | null>();
    const atOnce = Math.max(1, Math.floor(options.maxOpen / 2));
    for (let at = 0; at < nodes.length; at += atOnce) {
      const some = nodes.slice(at, at + atOnce);
      await Promise.all(some.map(async (node) => answers.set(node, await controller.answersIn(node, deadlineMs))));
    }
    return answers;
  }

  return {
    names: () => found.all().map(({ birth }) => birth.node),
    candidates: (fn) =>
      found.all().flatMap((node) => {
        const ready = node.birth.abilities.functions.get(fn);
        const { health, usable } = found.state(node);
        if (ready === undefined || !usable) return [];
        return [{ name: node.birth.node, weight: 1, load: loadOf(node), ready, down: health === "down" }];
      }),
    ask: (node, request, deadlineMs) => controller.ask(node, request, deadlineMs),
    refused: (reply) => controller.refused(reply),
    states: () => found.all().map((node) => report(node)),
    async survey(deadlineMs) {
      const answers = await askAll(found.all(), deadlineMs);
      return found.all().map((node) => report(node, answers.get(node)));
    },
    figures: () => ({ ...found.figures(), ...orders.figures(), ...prefixed(asker.figures()), announced: announcer.announced }),
    close() {
      announcer.close();
      orders.close();
      asker.close();
      found.close();
    },
  };
}

/** The fleet counts what it asks itself. */
function prefixed(figures: Readonly<Record<string, string | number>>): Readonly<Record<string, string | number>> {
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [`broker_${name}`, value]));
}
