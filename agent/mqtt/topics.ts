/** Where things are said and asked: `<base>/<node>/…`. */
export interface Topics {
  /** `<base>/<node>` */
  readonly root: string;
  /** `online` or `offline`: the node's connection, and the broker's word for that it was lost. */
  readonly status: string;
  /** What a device is like now: JSON, retained. */
  state(device: string): string;
  /** Takes JSON, or one word for what the device mainly is. */
  set(device: string): string;
  /** Takes one word for one field of the state. */
  setField(device: string, field: string): string;
  get(device: string): string;
  /** `online` or `offline`, retained. */
  availability(device: string): string;
  event(device: string, key: string): string;
  /** About the node itself: `info`, `health`, `event`. */
  bridge(what: string): string;
  request(what: string): string;
  response(what: string): string;
  readonly clone: string;
  readonly description: string;
}

export function createTopics(base: string, node: string): Topics {
  const root = `${base}/${node}`;
  return {
    root,
    status: `${root}/status`,
    state: (device) => `${root}/${device}/state`,
    set: (device) => `${root}/${device}/set`,
    setField: (device, field) => `${root}/${device}/set/${field}`,
    get: (device) => `${root}/${device}/get`,
    availability: (device) => `${root}/${device}/availability`,
    event: (device, key) => `${root}/${device}/event/${key}`,
    bridge: (what) => `${root}/bridge/${what}`,
    request: (what) => `${root}/bridge/request/${what}`,
    response: (what) => `${root}/bridge/response/${what}`,
    clone: `${root}/clone`,
    description: `${root}/td`,
  };
}

/** Names a device cannot have towards the broker: their topics are the node's own. */
export const NODE_TOPICS: ReadonlySet<string> = new Set(["bridge", "clone", "status", "td"]);

/**
 * Whether an answer may go there, as whoever asks wants it. Not to where agents are told what to do and devices are announced: who may ask need not be allowed
 * to publish there himself.
 */
export function isReplyTopic(topic: string, base: string, discoveryPrefix: string): boolean {
  if (topic === "" || topic.length > 1024 || /[#+\0]/.test(topic) || topic.startsWith("$") || topic.startsWith(`${discoveryPrefix}/`))
    return false;
  return !topic.startsWith(`${base}/`) || !/\/(set|get|clone|request|state|availability|td|info|health|event)(\/|$)/.test(topic);
}
