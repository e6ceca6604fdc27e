import { createHash } from "node:crypto";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import t, { type Test } from "tap";

import { verifyAudit } from "../../agent/access/audit-files.ts";
import { createAuthority } from "../../agent/access/authority.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { connectAgent, type AgentConnection } from "../../agent/fleet/connection.ts";
import { parseTarget } from "../../agent/fleet/target.ts";
import { makeAuthority } from "../access/secure-fleet.ts";
import { eventually } from "../helpers/eventually.ts";
import { FREE_PORTS } from "../helpers/free-ports.ts";
import { startAgent, type RunningAgent } from "../helpers/start-agent.ts";
import { missing } from "../helpers/tools.ts";
import type { Reply } from "../../agent/contract/request.ts";

const skip = missing("openssl", "openssl");

const DAY_MS = 86_400_000;

const TOKEN = "a token that nobody would guess";

const usersFile = (revoked: boolean) =>
  `- { name: panel, tokenSha256: ${createHash("sha256").update(TOKEN).digest("hex")}, allow: ["lamp.*", "vars:battery_*"], revoked: ${revoked} }\n`;

/** An agent with a listener behind TLS that also lets tokens in, beside the authority's certificates for ada, a stranger and somebody late. */
async function startSecureAgent(t: Test): Promise<RunningAgent & { readonly certificates: string; readonly users: string }> {
  const certificates = t.testdir({ other: {} });
  const system = createSystemClock();
  await makeAuthority(certificates);
  await createAuthority({ folder: certificates, clock: { ...system, wallMs: () => system.wallMs() - 10 * DAY_MS } }).issue(
    "client",
    "late",
    5,
    [],
  );
  await makeAuthority(join(certificates, "other"));
  for (const ending of ["crt", "key"]) copyFileSync(join(certificates, "other", `ada.${ending}`), join(certificates, `stranger.${ending}`));
  const users = join(certificates, "users.yaml");
  writeFileSync(users, usersFile(false));
  const agent = await startAgent(
    t,
    `${FREE_PORTS.replace(" }", ", secure: 127.0.0.1:0 }")}devices: { lamp: { driver: light, line: GPIO17 }, pump: { driver: relay, line: GPIO27 } }
tls: { certificate: ${certificates}/garage.crt, key: ${certificates}/garage.key, ca: ${certificates}/ca.crt, clients: any }
auth: { usersFile: ${users}, users: [{ name: ada, certificate: ada }] }
`,
  );
  return { ...agent, certificates, users };
}

function connectSecure({ agent, certificates }: { agent: RunningAgent["agent"]; certificates: string }, name?: string, token?: string) {
  const file = (ending: string) => readFileSync(join(certificates, `${name ?? ""}.${ending}`));
  return connectAgent({
    target: parseTarget(agent.addresses["secure"] ?? ""),
    clock: createSystemClock(),
    tls: { ca: readFileSync(join(certificates, "ca.crt")), ...(name === undefined ? {} : { certificate: file("crt"), key: file("key") }) },
    ...(token === undefined ? {} : { user: "panel", token }),
  });
}

async function errorOf(asked: Promise<Reply>): Promise<string> {
  const reply = await asked;
  return reply.kind === "error" ? `${reply.error.code} ${reply.error.message}` : reply.kind;
}

t.test(
  "over TLS a certificate or a token lets in, permits bound what may be done, and all of it is in the audit log",
  { skip },
  async (t) => {
    const running = await startSecureAgent(t);
    const open: AgentConnection[] = [];
    t.teardown(() => {
      for (const connection of open) connection.close();
    });

    const ada = await connectSecure(running, "ada");
    open.push(ada);
    t.equal((await ada.call("CLONE", ["lamp.on"])).kind, "value", "a certificate is enough");

    const nobody = await connectSecure(running);
    open.push(nobody);
    t.match(await errorOf(nobody.call("CLONE", ["lamp.on"])), /^DENIED CLONE needs authentication here/, "no certificate and no token");
    await t.rejects(connectSecure(running, "stranger"), { code: "DENIED", message: /its certificate is not of the authority/ });
    await t.rejects(connectSecure(running, "late"), { code: "DENIED", message: /its certificate has expired/ });

    const panel = await connectSecure(running, undefined, TOKEN);
    open.push(panel);
    t.equal((await panel.call("CLONE", ["lamp.off"])).kind, "value");
    t.match(await errorOf(panel.call("CLONE", ["pump.on"])), /^DENIED panel may not use pump\.on/);
    t.match(await errorOf(panel.call("GET", ["secret"])), /^DENIED panel may not use memory:secret/);
    t.match(await errorOf(panel.call("FOPEN", ["a.txt"])), /^DENIED panel may not use files:a\.txt/);
    t.match(await errorOf(panel.call("ENQUEUE", ["x"])), /^DENIED panel may not use queue:/);
    t.match(await errorOf(panel.call("EVENT.EDGE", ["1", "2"])), /^DENIED panel may not use events:1/);
    t.equal((await panel.call("VAR.SET", ["battery_v", "11"])).kind, "status");

    writeFileSync(running.users, usersFile(true));
    await eventually(async () => (await errorOf(panel.call("CLONE", ["lamp.off"])).catch(String)) !== "value");
    await t.rejects(
      connectSecure(running, undefined, TOKEN),
      { code: "DENIED" },
      "a token that was revoked is refused when it is replayed",
    );

    await running.agent.stop();
    const log = join(running.stateFolder, "audit.log");
    const { broken, entries } = await verifyAudit(log);
    t.equal(broken, undefined, "the chain holds");
    t.ok(entries > 10, `${entries} entries`);
    const text = readFileSync(log, "utf8");
    t.notMatch(text, TOKEN, "no token is in it");
    for (const said of [
      /its certificate is not of the authority/,
      /its certificate has expired/,
      /not authenticated/,
      /pump\.on/,
      /revoked/,
    ]) {
      t.match(text, said);
    }
  },
);
