/** Where nodes find and ask each other: `<base>/<node>/…`. */
export interface FleetTopics {
  /** Retained: what the node says of itself. */
  birth(node: string): string;
  /** Retained: `online`, or `offline` in the broker's word or the node's own. */
  status(node: string): string;
  /** Takes claims and orders of other nodes. */
  orders(node: string): string;
  /** Where a node that asked is answered. */
  answers(node: string): string;
  /** The node that a birth or status is about; undefined for another topic. */
  nodeOf(topic: string): string | undefined;
}

export function createFleetTopics(base: string): FleetTopics {
  const prefix = `${base}/`;
  return {
    birth: (node) => `${prefix}${node}/birth`,
    status: (node) => `${prefix}${node}/status`,
    orders: (node) => `${prefix}${node}/fleet/clone`,
    answers: (node) => `${prefix}${node}/fleet/answer`,
    nodeOf(topic) {
      const end = topic.indexOf("/", prefix.length);
      return topic.startsWith(prefix) && end > 0 ? topic.slice(prefix.length, end) : undefined;
    },
  };
}
