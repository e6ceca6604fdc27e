import { errorReply, OK, type Caller, type Reply, type Service } from "../contract/request.ts";
import { AgentError, toAgentError } from "../contract/errors.ts";
import { parseCommand, planCommand, type CommandMeta, type PlannedCall } from "./commands.ts";
import type { Answers } from "./answers.ts";
import type { Arrivals } from "./arrivals.ts";
import type { Broker, BrokerMessage } from "../contract/broker.ts";
import type { Cancel } from "../contract/clock.ts";
import type { EntityDevice } from "../contract/entity-device.ts";
import type { FaceDevices } from "./face-devices.ts";
import type { Kept } from "./kept.ts";
import type { MqttCallers } from "./callers.ts";
import type { Topics } from "./topics.ts";

export interface DeviceCommandsOptions {
  readonly broker: Broker;
  readonly topics: Topics;
  readonly service: Service;
  readonly devices: Pick<FaceDevices, "all" | "get">;
  readonly callers: MqttCallers;
  readonly arrivals: Arrivals;
  readonly answers: Answers;
  readonly kept: Kept;
  /** Publishes the device's state, so that whoever asked in vain sees how it is. */
  show(device: string): void;
  /** A command was carried out. */
  onTaken(): void;
  onRefused(error: AgentError, topic: string): void;
}

/** `<device>/set`, `<device>/set/<field>` and `<device>/get`. */
export function serveDeviceCommands(options: DeviceCommandsOptions): Cancel {
  const { broker, topics, service, devices, callers, arrivals, answers, kept } = options;
  const cancels = [
    broker.subscribe(topics.set("+"), onSet, 1),
    broker.subscribe(topics.setField("+", "+"), onSet, 1),
    broker.subscribe(topics.get("+"), onGet, 1),
  ];
  return () => {
    for (const cancel of cancels) cancel();
  };

  /** The levels behind `<base>/<node>/`. */
  function levelsOf(topic: string): readonly string[] {
    return topic.slice(topics.root.length + 1).split("/");
  }

  function deviceOf(id: string | undefined): EntityDevice {
    const device = devices.get(id ?? "");
    if (device !== undefined) return device;
    const known = devices.all().map((each) => each.id);
    throw new AgentError("UNKNOWN", `no device ${id ?? ""} can be set over MQTT; there are ${known.join(", ")}`);
  }

  function onGet(message: BrokerMessage): void {
    const [id] = levelsOf(message.topic);
    if (!message.retained && devices.get(id ?? "") !== undefined) options.show(id ?? "");
  }

  function onSet(message: BrokerMessage): void {
    const [id, , field] = levelsOf(message.topic);
    // The node's own topics have the same shape.
    if (id === "bridge" || arrivals.isStored(message)) return;
    let meta: CommandMeta = {};
    try {
      const device = deviceOf(id);
      const parsed = parseCommand(device, Buffer.from(message.payload).toString("utf8"), field);
      meta = parsed.meta;
      if (!arrivals.accepts(message, meta)) return;
      const calls = planCommand(device, parsed.fields);
      void carryOut(device, calls, callers.of(message)).then((reply) => settle(device, message, meta, reply));
    } catch (error) {
      options.onRefused(answers.refuse(message, meta, error), message.topic);
      if (devices.get(id ?? "") !== undefined) options.show(id ?? "");
    }
  }

  function settle(device: EntityDevice, message: BrokerMessage, meta: CommandMeta, reply: Reply): void {
    answers.send(message, meta, reply);
    if (reply.kind !== "error") {
      options.onTaken();
      return;
    }
    options.onRefused(reply.error, message.topic);
    options.show(device.id);
  }

  /** One call after the other; the first one that is refused is the last. */
  async function carryOut(device: EntityDevice, calls: readonly PlannedCall[], caller: Caller): Promise<Reply> {
    let reply: Reply = OK;
    for (const planned of calls) {
      kept.replace(device, planned);
      reply = await ask(planned, caller);
      if (reply.kind === "error") return reply;
      if (!caller.signal.aborted) kept.keep(device, planned, async () => (await ask(planned, caller)).kind !== "error");
    }
    return reply;
  }

  /** Nothing is asked on behalf of somebody whose connection is lost. */
  async function ask({ words }: PlannedCall, caller: Caller): Promise<Reply> {
    if (caller.signal.aborted) return errorReply(new AgentError("NOT_READY", "the connection to the broker is lost"));
    try {
      return await service.handle({ verb: "CLONE", args: words }, caller);
    } catch (error) {
      return errorReply(toAgentError(error));
    }
  }
}
