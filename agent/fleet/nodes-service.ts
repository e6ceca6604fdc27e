import { AgentError, toAgentError } from "../contract/errors.ts";
import { errorReply, valueReply } from "../contract/request.ts";
import type { Caller, Service, VerbDoc } from "../contract/request.ts";
import type { Value } from "../contract/value.ts";
import type { BrokerReport, NodeReport, OpenFleet } from "./nodes.ts";

const VERBS: readonly VerbDoc[] = [
  { verb: "NODES", usage: "[KNOWN]", summary: "every node with health, load and devices, asked now; KNOWN: what is known without asking" },
];

/** NODES: the fleet as this node sees it. */
export function createNodesService(fleet: Pick<OpenFleet, "known" | "survey">): Service {
  return {
    verbs: VERBS,
    async handle({ verb, args }, caller) {
      try {
        if (verb !== "NODES") throw new AgentError("UNKNOWN", `the fleet has no verb ${verb}`);
        const asked = args.map((word) => word.toUpperCase()).join(" ");
        if (asked !== "" && asked !== "KNOWN") throw new AgentError("ARGUMENT", `NODES takes nothing or KNOWN, not ${args.join(" ")}`);
        const reports = asked === "KNOWN" ? fleet.known() : await fleet.survey();
        return valueReply(reports.map((report) => seenBy(caller, report)));
      } catch (thrown) {
        return errorReply(toAgentError(thrown));
      }
    },
  };
}

function seenBroker({ answeredMs, ...rest }: BrokerReport): Value {
  return { ...rest, ...(answeredMs !== undefined && { answeredMs }) };
}

/** Devices of which the caller may use nothing are not shown, as DEVICES does it. */
function seenBy({ permits }: Caller, { abilities, broker, ...report }: NodeReport): Value {
  const functions = [...(abilities?.functions.keys() ?? [])];
  const sees = (id: string) => functions.some((name) => name.startsWith(`${id}.`) && permits?.allows("function", name));
  const devices = (abilities?.devices ?? []).filter(({ id }) => permits === undefined || sees(id));
  return { ...report, ...(broker !== undefined && { broker: seenBroker(broker) }), devices: devices.map((device) => ({ ...device })) };
}
