import type { Client } from "../../../agent/fleet/client.ts";

/** One entry of the journal of the node that has the device. */
export interface Seen {
  readonly id: number;
  readonly wallMs: number;
  readonly kind: string;
  readonly caller: string;
  readonly detail: string;
}

const ORDER_MS = 50;

/** Orders the same again and again, whatever becomes of it, as a remote control does. */
export function startOrdering(client: Client, node: string, fn: string): { stop(): Promise<void> } {
  const open = new Set<Promise<unknown>>();
  const timer = setInterval(() => {
    const order = client
      .call("CLONE", ["NODE", node, "DEADLINE", "300", fn], { deadlineMs: 5000 })
      .catch(() => undefined)
      .finally(() => open.delete(order));
    open.add(order);
  }, ORDER_MS);
  return {
    async stop() {
      clearInterval(timer);
      await Promise.all(open);
    },
  };
}

/** Everything that happens to a device from now on, as the journal of its own node has it. */
export async function watchDevice(client: Client, device: string): Promise<{ seen(): readonly Seen[]; stop(): void }> {
  const seen: Seen[] = [];
  const stop = await client.events.tail(({ kind, event }) => {
    if (kind === "journal" && event["subject"] === device) seen.push(event as unknown as Seen);
  });
  return { seen: () => seen, stop };
}
