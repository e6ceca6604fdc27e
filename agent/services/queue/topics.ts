import { createHeap } from "./heap.ts";
import { createLane, type Lane } from "./lane.ts";
import { PRIORITIES, type Due, type Message } from "./message.ts";
import type { Cancel, Clock } from "../../contract/clock.ts";
import type { ByteString } from "../../contract/request.ts";

/** Times that no longer stand are cleared away beyond this many and half of all. */
const SPARE_TIMES = 1024;

export interface TopicsOptions {
  readonly clock: Clock;
  /** Told every delivery, after it was counted. */
  delivered(message: Message): void;
  /** A delivery has ended without an acknowledgement: give the message back, or move it. */
  expired(message: Message): void;
}

/** What is in a topic. */
export interface TopicCounts {
  readonly topic: ByteString;
  readonly ready: number;
  readonly held: number;
  readonly delayed: number;
  /** Who waits for a message. */
  readonly waiting: number;
  readonly bytes: number;
  /** When the longest ready message was taken, by the wall clock; undefined when none is ready. */
  readonly oldestWallMs: number | undefined;
}

/** Who is delivered what, and when again. Knows nothing of disks. */
export interface Topics {
  /** The message may be delivered: to who has waited longest, else it stays until it is asked for. */
  add(message: Message): void;
  /** The first of the topic: highest priority, then lowest id. It is delivered again after `visibilityMs`, unless that is Infinity. */
  receive(topic: ByteString, visibilityMs: number): Message | undefined;
  /** Calls `deliver` once, when there is a message: not before this returns. */
  wait(topic: ByteString, visibilityMs: number, deliver: (message: Message) => void): Cancel;
  /** It may be delivered again, after `delayMs`. */
  giveBack(message: Message, delayMs: number): void;
  /** Gives it back to another topic. */
  move(message: Message, topic: ByteString): void;
  /** It is to be acknowledged: not delivered any more, unless it must `stay`. */
  leave(message: Message): void;
  stay(message: Message): void;
  /** It is acknowledged. */
  remove(message: Message): void;
  counts(topic: ByteString): TopicCounts;
  list(): readonly TopicCounts[];
  close(): void;
}

interface Waiter {
  readonly visibilityMs: number;
  readonly deliver: (message: Message) => void;
  cancelled: boolean;
}

interface Topic {
  readonly name: ByteString;
  readonly lanes: (Lane | undefined)[];
  /** In the order they came; cancelled ones are skipped. */
  waiters: Waiter[];
  waiting: number;
  readonly counts: { ready: number; held: number; delayed: number; writing: number };
  bytes: number;
}

export function createTopics({ clock, ...told }: TopicsOptions): Topics {
  const topics = new Map<ByteString, Topic>();
  const times = createHeap<Due>((a, b) => a.atMs < b.atMs);
  let pendingTimes = 0;
  let armedMs = Infinity;
  let disarm: Cancel | undefined;

  function topicOf(name: ByteString): Topic {
    const known = topics.get(name);
    if (known !== undefined) return known;
    const topic: Topic = {
      name,
      lanes: [],
      waiters: [],
      waiting: 0,
      counts: { ready: 0, held: 0, delayed: 0, writing: 0 },
      bytes: 0,
    };
    topics.set(name, topic);
    return topic;
  }

  /** A topic is there as long as something is in it or somebody waits. */
  function forget(topic: Topic): void {
    const { ready, held, delayed } = topic.counts;
    if (ready + held + delayed + topic.waiting === 0) topics.delete(topic.name);
  }

  function setDue(message: Message, delayMs: number): void {
    if (message.due !== undefined) pendingTimes -= 1;
    message.due = undefined;
    if (delayMs === Infinity) return;
    const due = { atMs: clock.monotonicMs() + delayMs, message };
    message.due = due;
    pendingTimes += 1;
    times.push(due);
    if (times.size > SPARE_TIMES && times.size > 2 * pendingTimes) times.retain((time) => time.message.due === time);
    arm();
  }

  function noDue(message: Message): void {
    setDue(message, Infinity);
  }

  function arm(): void {
    for (let next = times.peek(); next !== undefined && next.message.due !== next; next = times.peek()) times.pop();
    const atMs = times.peek()?.atMs ?? Infinity;
    if (atMs >= armedMs) return;
    disarm?.();
    armedMs = atMs;
    disarm = clock.after(Math.max(0, atMs - clock.monotonicMs()), onTime);
  }

  function onTime(): void {
    armedMs = Infinity;
    const nowMs = clock.monotonicMs();
    for (let next = times.peek(); next !== undefined && next.atMs <= nowMs; next = times.peek()) {
      times.pop();
      if (next.message.due === next) ended(next.message);
    }
    arm();
  }

  function ended(message: Message): void {
    noDue(message);
    if (message.state === "held") told.expired(message);
    else makeReady(message);
  }

  function change(message: Message, state: Message["state"]): void {
    const { counts } = topicOf(message.topic);
    counts[message.state] -= 1;
    counts[state] += 1;
    message.state = state;
  }

  function makeReady(message: Message): void {
    noDue(message);
    change(message, "ready");
    enqueue(message);
  }

  function enqueue(message: Message): void {
    const topic = topicOf(message.topic);
    const lane = (topic.lanes[message.priority] ??= createLane());
    lane.put(message);
    serve(topic);
  }

  function serve(topic: Topic): void {
    while (topic.waiting > 0) {
      const waiter = topic.waiters[0] as Waiter;
      const message = waiter.cancelled ? undefined : take(topic, waiter.visibilityMs);
      if (message === undefined && !waiter.cancelled) return;
      topic.waiters.shift();
      if (message === undefined) continue;
      topic.waiting -= 1;
      waiter.cancelled = true;
      waiter.deliver(message);
    }
  }

  function take(topic: Topic, visibilityMs: number): Message | undefined {
    for (let priority = PRIORITIES - 1; priority >= 0; priority--) {
      const message = topic.lanes[priority]?.take();
      if (message === undefined) continue;
      change(message, "held");
      message.deliveries += 1;
      setDue(message, visibilityMs);
      told.delivered(message);
      return message;
    }
    return undefined;
  }

  function cancel(topic: Topic, waiter: Waiter): void {
    if (waiter.cancelled) return;
    waiter.cancelled = true;
    topic.waiting -= 1;
    // Those cancelled behind one that waits for long must not gather.
    if (topic.waiters.length > 2 * topic.waiting) topic.waiters = topic.waiters.filter((one) => !one.cancelled);
    forget(topic);
  }

  function countsOf(topic: Topic): TopicCounts {
    const { ready, held, delayed } = topic.counts;
    const firsts = topic.lanes.map((lane) => lane?.first()?.wallMs).filter((wallMs) => wallMs !== undefined);
    const oldestWallMs = firsts.length === 0 ? undefined : Math.min(...firsts);
    return { topic: topic.name, ready, held, delayed, waiting: topic.waiting, bytes: topic.bytes, oldestWallMs };
  }

  function join(message: Message): void {
    const topic = topicOf(message.topic);
    topic.counts[message.state] += 1;
    topic.bytes += message.payload.length;
  }

  function part(message: Message): void {
    const topic = topicOf(message.topic);
    topic.counts[message.state] -= 1;
    topic.bytes -= message.payload.length;
    if (message.queued) topic.lanes[message.priority]?.lost();
    forget(topic);
  }

  return {
    add(message) {
      message.state = "ready";
      join(message);
      enqueue(message);
    },
    receive(name, visibilityMs) {
      const topic = topics.get(name);
      return topic === undefined ? undefined : take(topic, visibilityMs);
    },
    wait(name, visibilityMs, deliver) {
      const topic = topicOf(name);
      const waiter = { visibilityMs, deliver, cancelled: false };
      topic.waiters.push(waiter);
      topic.waiting += 1;
      return () => {
        cancel(topic, waiter);
      };
    },
    giveBack(message, delayMs) {
      if (delayMs === 0) {
        makeReady(message);
        return;
      }
      change(message, "delayed");
      setDue(message, delayMs);
    },
    move(message, name) {
      noDue(message);
      part(message);
      message.topic = name;
      message.state = "ready";
      join(message);
      enqueue(message);
    },
    leave(message) {
      message.leaving = true;
    },
    stay(message) {
      message.leaving = false;
      if (message.state === "ready" && !message.queued) enqueue(message);
    },
    remove(message) {
      message.gone = true;
      noDue(message);
      part(message);
    },
    counts(name) {
      const topic = topics.get(name);
      return topic === undefined
        ? { topic: name, ready: 0, held: 0, delayed: 0, waiting: 0, bytes: 0, oldestWallMs: undefined }
        : countsOf(topic);
    },
    list: () => [...topics.values()].map(countsOf),
    close() {
      disarm?.();
      disarm = undefined;
      armedMs = -Infinity;
      topics.clear();
    },
  };
}
