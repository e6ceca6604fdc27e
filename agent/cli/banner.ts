import type { Agent } from "../agent.ts";
import type { AgentConfig } from "../config/load.ts";
import type { DevicesReport } from "../open-devices.ts";

const USES: ReadonlyMap<string, string> = new Map([
  ["clone", "telnet, nc, VIRGO nodes, Redis clients"],
  ["gateway", "all verbs, for redis-cli and any Redis client"],
  ["analytics", "name=value pairs"],
]);

/** What a started agent says first: what listens where, and three lines to try. */
export function bannerText(agent: Agent, config: AgentConfig, version: string): string {
  const report = agent.devices.report();
  const { kind, model } = report.board;
  const listening = Object.entries(agent.addresses).map(
    ([name, address]) => `  ${name.padEnd(10)}${address.padEnd(18)}${USES.get(name) ?? ""}`,
  );
  return [
    `virgo ${version}, node ${config.node}, ${kind} board (${model})`,
    ...listening.map((line) => line.trimEnd()),
    ...outgoing(config).map((address) => `  ${"analytics".padEnd(10)}connects to ${address}`),
    "Try, in another terminal:",
    ...linesToTry(agent.addresses, report, config).map((line) => `  ${line}`),
    "",
  ].join("\n");
}

function outgoing(config: AgentConfig): string[] {
  return config.analytics.sources.flatMap((source) => ("tcp" in source && !source.listen ? [source.tcp] : []));
}

function linesToTry(addresses: Agent["addresses"], { devices }: DevicesReport, config: AgentConfig): string[] {
  const callable = devices.flatMap(({ functions }) => functions);
  const call = callable.find((name) => name.endsWith(".on")) ?? callable[0];
  const lines: string[] = [];
  if (addresses["clone"] !== undefined && call !== undefined) lines.push(`printf '${call}\\r\\n' | nc -N ${asWords(addresses["clone"])}`);
  const variable = Object.keys(config.analytics.variables)[0] ?? "name";
  const [source] = outgoing(config);
  if (source !== undefined)
    lines.push(`while sleep 0.5; do echo ${variable}=11.2; done | nc -l ${source.slice(source.lastIndexOf(":") + 1)}`);
  else if (addresses["analytics"] !== undefined) lines.push(`echo ${variable}=11.2 | nc -N ${asWords(addresses["analytics"])}`);
  if (addresses["gateway"] !== undefined) {
    const port = addresses["gateway"].slice(addresses["gateway"].lastIndexOf(":") + 1);
    lines.push(`redis-cli -p ${port} DEVICES`);
    if (lines.length < 3) lines.push(`redis-cli -p ${port} HELP`);
  }
  return lines;
}

/** `127.0.0.1:10000` as nc takes it. */
function asWords(address: string): string {
  const colon = address.lastIndexOf(":");
  return `${address.slice(0, colon).replace(/^\[(.*)\]$/, "$1")} ${address.slice(colon + 1)}`;
}
