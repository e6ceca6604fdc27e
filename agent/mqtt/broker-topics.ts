import { AgentError } from "../contract/errors.ts";

/** MQTT 5, section 4.7.3: a topic has at most so many bytes of UTF-8. */
const MAX_TOPIC_BYTES = 65_535;

/** Throws ARGUMENT when nothing can be published there: no characters, `#`, `+`, NUL, or too long. */
export function checkTopic(topic: string): void {
  if (topic !== "" && !/[#+\0]/.test(topic) && Buffer.byteLength(topic) <= MAX_TOPIC_BYTES) return;
  throw new AgentError(
    "ARGUMENT",
    `${JSON.stringify(topic.slice(0, 80))} is no topic; a topic has 1 to ${MAX_TOPIC_BYTES} bytes, without # and +`,
  );
}

/** Throws ARGUMENT when nothing can be subscribed with it: `+` is a whole level, `#` the whole last one. */
export function checkFilter(filter: string): void {
  const levels = filter.split("/");
  const good = levels.every((level, i) => !/[#+\0]/.test(level) || level === "+" || (level === "#" && i === levels.length - 1));
  if (filter !== "" && good && Buffer.byteLength(filter) <= MAX_TOPIC_BYTES) return;
  throw new AgentError(
    "ARGUMENT",
    `${JSON.stringify(filter.slice(0, 80))} is no topic filter; + stands for one level and # for all at the end, for example virgo/+/state`,
  );
}

/** Whether the filter covers the topic (MQTT 5, section 4.7): wildcards at the first level leave out topics that begin with `$`. */
export function createTopicMatcher(filter: string): (topic: string) => boolean {
  if (!/[#+]/.test(filter)) return (topic) => topic === filter;
  const levels = filter.split("/");
  const open = levels.at(-1) === "#";
  const fixed = open ? levels.slice(0, -1) : levels;
  const wildFirst = levels[0] === "+" || levels[0] === "#";
  return (topic) => {
    if (wildFirst && topic.startsWith("$")) return false;
    const parts = topic.split("/");
    if (open ? parts.length < fixed.length : parts.length !== fixed.length) return false;
    return fixed.every((level, i) => level === "+" || level === parts[i]);
  };
}
