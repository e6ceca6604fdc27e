import { createConversations } from "../../agent/conversations.ts";
import { limitsSchema } from "../../agent/contract/limits.ts";
import { createForwardingDevices } from "../../agent/fleet/forwarding.ts";
import { nodeLoad } from "../../agent/fleet/load.ts";
import { createNodesService } from "../../agent/fleet/nodes-service.ts";
import { openFleet, type OpenFleet } from "../../agent/fleet/nodes.ts";
import { fleetOptionsSchema } from "../../agent/fleet/options.ts";
import { openHost, type Host } from "../../agent/host/host.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { parseListenAddress, startListener } from "../../agent/listener.ts";
import { createRouter } from "../../agent/router.ts";
import { createUsers } from "../../agent/access/users.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { createVariableStore } from "../../analytics/store.ts";
import { createSimBoard, type SimBoard } from "../../drivers/board/sim/sim-board.ts";
import { gpio } from "../../drivers/gpio/index.ts";
import { createFakeLog, type FakeLog } from "./fake-log.ts";

export interface FleetNode {
  readonly address: string;
  readonly host: Host;
  readonly board: SimBoard;
  readonly fleet: OpenFleet;
  readonly log: FakeLog;
  stop(): Promise<void>;
}

interface Teardown {
  teardown(handler: () => unknown): void;
}

export interface FleetNodeOptions {
  readonly name: string;
  /** Relays by name, with their lines. */
  readonly relays?: Readonly<Record<string, string>>;
  /** `fleet` of the configuration. */
  readonly fleet?: object;
  readonly address?: string;
}

/** A node with relays on a simulated board, a fleet and a gateway on a free port, in this process; stopped when the test ends. */
export async function startFleetNode(t: Teardown, options: FleetNodeOptions): Promise<FleetNode> {
  const { name, relays = {}, fleet: fleetOptions = {}, address = "127.0.0.1:0" } = options;
  const clock = createSystemClock();
  const log = createFakeLog();
  const limits = limitsSchema.parse({});
  const journal = createJournal(clock);
  const board = createSimBoard({ clock });
  const variables = createVariableStore({ clock, limits, declared: {}, defaultStaleMs: 2000 });
  const driver = gpio.drivers.find((known) => known.name === "relay")!;
  const specs = Object.entries(relays).map(([id, line]) => ({
    id,
    driver,
    options: driver.options.parse({ line }),
    policy: { enabled: true, onLoss: "safe" as const, onExit: "safe" as const, exclusive: false, callMs: 1000 },
  }));
  const host = await openHost({ node: name, specs, board, clock, variables, journal, log });
  const parsed = fleetOptionsSchema.parse(fleetOptions);
  const load = () => nodeLoad(devices.running);
  const fleet = await openFleet({ options: parsed, node: name, devices: host, load: () => load().load, clock, log });
  const devices = createForwardingDevices({ devices: host, fleet, deadlineMs: parsed.deadlineMs, clock });
  const openConversation = createConversations({
    limits,
    node: name,
    version: "0.0.0",
    users: createUsers([]),
    router: createRouter([devices, createNodesService(fleet)]),
    info: () => ({ load: { ...load() } }),
  });
  const listener = await startListener({ name: "gateway", address: parseListenAddress(address), limits, clock, log, openConversation });
  let stopped: Promise<void> | undefined;
  const stop = () =>
    (stopped ??= (async () => {
      await listener.close();
      fleet.close();
      await host.stop();
      await board.close();
    })());
  t.teardown(stop);
  return { address: listener.address, host, board, fleet, log, stop };
}
