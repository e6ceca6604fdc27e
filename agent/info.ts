import { nodeLoad } from "./fleet/load.ts";
import type { OpenAudit } from "./access/audit.ts";
import type { AgentConfig } from "./config/load.ts";
import type { Clock } from "./contract/clock.ts";
import type { Journal } from "./contract/journal.ts";
import type { Figures } from "./contract/request.ts";
import type { VariableReader } from "./contract/variable.ts";
import type { Face } from "./mqtt/face.ts";
import type { ForwardingDevices } from "./fleet/forwarding.ts";
import type { OpenFleet } from "./fleet/nodes.ts";
import type { DeviceReport, DevicesReport } from "./open-devices.ts";
import type { OpenedAnalytics } from "./open-analytics.ts";
import type { OpenedMqtt } from "./open-mqtt.ts";
import type { Services } from "./open-services.ts";
import type { Listener } from "./listener.ts";
import type { Info } from "./session.ts";
import type { Source } from "../analytics/sources/source.ts";

export interface InfoSources {
  readonly config: AgentConfig;
  readonly version: string;
  readonly clock: Clock;
  /** When the agent started, on the monotonic clock. */
  readonly startedMs: number;
  readonly report: DevicesReport;
  /** Of the process the devices run in, if it is one of its own. */
  readonly keeper: Figures | undefined;
  readonly journal: Journal;
  readonly variables: VariableReader;
  readonly audit: OpenAudit | undefined;
  readonly services: Pick<Services, "figures">;
  readonly devices: Pick<ForwardingDevices, "running">;
  readonly fleet: OpenFleet;
  readonly mqtt: OpenedMqtt | undefined;
  /** Devices over MQTT. */
  readonly face: Face | undefined;
  readonly listeners: readonly Listener[];
  readonly sources: readonly Source[];
  readonly analytics: OpenedAnalytics;
}

/** The agent's figures, by section, as INFO shows them. */
export function agentInfo(from: InfoSources): Info {
  const {
    config,
    version,
    clock,
    startedMs,
    report,
    keeper,
    journal,
    variables,
    audit,
    services,
    devices,
    fleet,
    mqtt,
    face,
    listeners,
    sources,
    analytics,
  } = from;
  const { memory, ...others } = services.figures();
  const { kind, model, why } = report.board;
  const count = (outcome: DeviceReport["outcome"]) => report.devices.filter((device) => device.outcome === outcome).length;
  return {
    server: {
      virgo_version: version,
      node: config.node,
      process_id: process.pid,
      uptime_in_seconds: Math.floor((clock.monotonicMs() - startedMs) / 1000),
      config_file: config.file,
    },
    // The name under which Redis tools look for it.
    memory: { used_memory_rss: process.memoryUsage.rss(), ...memory },
    board: { kind, model, why },
    devices: {
      opened: count("opened"),
      skipped: count("skipped"),
      failed: count("failed"),
      faulted: report.devices.filter(({ faulted }) => faulted).length,
      events_recorded: journal.recorded,
      ...(report.eStoppedBy === undefined ? {} : { e_stopped_by: report.eStoppedBy }),
    },
    ...(keeper === undefined ? {} : { "device host": keeper }),
    ...(report.motion === undefined ? {} : { motion: figuresOf(report.motion) }),
    ...(report.driving === undefined ? {} : { driving: figuresOf(report.driving) }),
    variables: { known: variables.names().length },
    ...others,
    ...(audit === undefined ? {} : { audit: audit.figures() }),
    fleet: fleet.figures(),
    ...(mqtt === undefined ? {} : { mqtt: { ...mqtt.broker.figures(), ...face?.figures() }, outbox: mqtt.outbox.figures() }),
    load: { ...nodeLoad(devices.running) },
    ...Object.fromEntries(listeners.map((listener) => [`listener ${listener.name}`, listenerFigures(listener)])),
    ...Object.fromEntries(sources.map((source) => [`source ${source.name}`, sourceFigures(source)])),
    ...Object.fromEntries(analytics.sinks.map((sink) => [`sink ${sink.name}`, figuresOf(sink.state())])),
    ...Object.fromEntries((analytics.derived?.state() ?? []).map(({ name, ...state }) => [`derived ${name}`, figuresOf(state)])),
    ...Object.fromEntries(report.rules.map((rule) => [`rule ${rule.name}`, ruleFigures(rule)])),
  };
}

function listenerFigures({ address, stats }: Listener): Figures {
  const { errors, ...counts } = stats;
  const seen = Object.entries(errors).filter(([, count]) => count > 0);
  return { address, ...counts, ...Object.fromEntries(seen.map(([code, count]) => [`errors_${code.toLowerCase()}`, count])) };
}

function sourceFigures(source: Source): Figures {
  return figuresOf(source.state());
}

function ruleFigures({ name: _name, ...rule }: DevicesReport["rules"][number]): Figures {
  return figuresOf(rule);
}

/** Leaves out what is not there, and writes yes and no as 1 and 0. */
function figuresOf(state: object): Figures {
  const figures: Record<string, string | number> = {};
  for (const [key, value] of Object.entries(state)) {
    if (typeof value === "number" || typeof value === "string") figures[key] = value;
    else if (typeof value === "boolean") figures[key] = value ? 1 : 0;
  }
  return figures;
}
