// Real brokers with certificates: who is trusted, who is not, and what is said of it.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t from "tap";

import { createAuthority } from "../../agent/access/authority.ts";
import { createBroker } from "../../agent/mqtt/broker.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { makeAuthority } from "../access/secure-fleet.ts";
import { missing } from "../helpers/tools.ts";
import { mqttOptionsSchema } from "../../agent/mqtt/options.ts";
import { startMosquitto, type Mosquitto } from "../helpers/mosquitto.ts";
import { startWebSocketBroker } from "./websocket-broker.ts";
import { eventually, startAgent } from "../helpers/start-agent.ts";
import type { BrokerSecrets } from "../../agent/mqtt/broker-connection.ts";
import type { Clock } from "../../agent/contract/clock.ts";

const skip = missing("openssl", "openssl");
const clock = createSystemClock();

const folder = mkdtempSync(join(tmpdir(), "virgo-mqtts-"));
const strange = join(folder, "strange");
t.teardown(() => {
  rmSync(folder, { recursive: true, force: true });
});

interface Teardown {
  teardown(handler: () => unknown): void;
}

const text = (name: string, at = folder): string => readFileSync(join(at, name), "utf8");
const CA = (): BrokerSecrets => ({ ca: text("ca.crt") });
const client = (name: string, at = folder): BrokerSecrets => ({
  ...CA(),
  ...{ certificate: text(`${name}.crt`, at), key: text(`${name}.key`, at) },
});

/** A broker with the certificate of that name. */
async function secured(t: Teardown, name = "garage", lines: readonly string[] = []): Promise<Mosquitto & { readonly tlsUrl: string }> {
  const files = [`cafile ${folder}/ca.crt`, `certfile ${folder}/${name}.crt`, `keyfile ${folder}/${name}.key`];
  const server = await startMosquitto({ lines: [...files, ...lines] });
  t.teardown(() => server.close());
  return { ...server, tlsUrl: `mqtts://127.0.0.1:${server.port}` };
}

function node(t: Teardown, url: string, secrets: BrokerSecrets, over: object = {}) {
  const log = createFakeLog();
  const options = mqttOptionsSchema.parse({ url, retryMinMs: 10, retryMaxMs: 20, ...over });
  const broker = createBroker(options, { node: "n1", clock, log, readSecrets: () => Promise.resolve(secrets) });
  t.teardown(() => broker.close());
  broker.start();
  return { broker, log };
}

/** Connects, and a message comes back. */
async function works(t: Teardown, url: string, secrets: BrokerSecrets, over: object = {}): Promise<void> {
  const { broker } = node(t, url, secrets, over);
  const heard: string[] = [];
  broker.subscribe("a/b", ({ payload }) => heard.push(Buffer.from(payload).toString()), 1);
  await eventually(() => broker.figures()["connected"] === 1);
  await broker.publish("a/b", "hello", { qos: 1 });
  await eventually(() => heard.includes("hello"));
}

/** Goes on being refused with that code, and says so once. */
async function refused(t: Teardown, url: string, secrets: BrokerSecrets, code: string, why: RegExp, over: object = {}): Promise<void> {
  const { broker, log } = node(t, url, secrets, over);
  // A broker may end the connection before its reason is read.
  await eventually(() => {
    const figures = broker.figures();
    return Number(figures["attempts"]) > 2 && figures["last_error_code"] === code && why.test(String(figures["last_error"]));
  });
  if (broker.figures()["connections"] !== 0 || log.lines.length !== 1) throw new Error(`connected, or said too much: ${log.lines.join()}`);
}

t.test("certificates", { skip }, async (t) => {
  await makeAuthority(folder);
  await makeAuthority(strange);
  const tenDaysAgo: Clock = { ...clock, wallMs: () => clock.wallMs() - 10 * 86_400_000 };
  await createAuthority({ folder, clock: tenDaysAgo }).issue("node", "old", 5, ["127.0.0.1"]);
  await createAuthority({ folder, clock: tenDaysAgo }).issue("client", "late", 5, []);
  await createAuthority({ folder, clock }).issue("node", "elsewhere", 5, ["10.9.9.9"]);

  for (const protocol of [4, 5]) {
    await t.test(`a broker whose certificate is signed by mqtt.ca is trusted, with MQTT ${protocol === 4 ? "3.1.1" : "5"}`, async (t) => {
      const { tlsUrl } = await secured(t);
      await works(t, tlsUrl, CA(), { protocol });
      t.pass("a message came back");
    });
  }

  await t.test("a broker that nobody we trust has signed, or for another name, or too long ago, is told nothing", async (t) => {
    const { tlsUrl } = await secured(t);
    await refused(t, tlsUrl, { ca: text("ca.crt", strange) }, "DENIED", /is not trusted: self-signed .*mqtt\.ca$/);
    await refused(t, tlsUrl, {}, "DENIED", /is not trusted: self-signed .*mqtt\.ca$/);
    const old = await secured(t, "old");
    await refused(t, old.tlsUrl, CA(), "DENIED", /is not trusted: certificate has expired; renew the broker's/);
    const elsewhere = await secured(t, "elsewhere");
    await refused(t, elsewhere.tlsUrl, CA(), "DENIED", /10\.9\.9\.9; connect to a name that is in the broker's certificate$/);
    for (const server of [old, elsewhere]) t.notMatch(server.log(), /New client connected/);
  });

  await t.test("user and password go over TLS", async (t) => {
    const passwords = join(folder, "passwords");
    // mosquitto_passwd -b FILE virgo secret
    writeFileSync(
      passwords,
      "virgo:$7$101$8zysnK5MtTovjrLz$+NMiAx+YpBSzjUAwKP6CBhyqtLqtLfwacxG/c0Tveo6fk7DmzEWfp3e5cqzt7QqGe+y8pdHSgBeBPVzXISJ7Lw==\n",
    );
    const { tlsUrl } = await secured(t, "garage", ["allow_anonymous false", `password_file ${passwords}`]);
    await refused(t, tlsUrl, { ...CA(), password: "wrong" }, "DENIED", /refuses the connection: .*mqtt\.passwordFile$/, { user: "virgo" });
    await works(t, tlsUrl, { ...CA(), password: "secret" }, { user: "virgo" });
    t.pass("connected");
  });

  await t.test("a client's certificate is who it is, and a wrong one is refused by the broker", async (t) => {
    const server = await secured(t, "garage", ["require_certificate true", "use_identity_as_username true"]);
    await works(t, server.tlsUrl, client("ada"));
    await eventually(() => /as virgo-n1 .*u'ada'/.test(server.log()));
    const hint = /refuses this node's certificate: [a-z0-9 ]+; look at mqtt\.certificate and mqtt\.key/;
    for (const protocol of [4, 5]) await refused(t, server.tlsUrl, CA(), "DENIED", /certificate required; look at/, { protocol });
    await refused(t, server.tlsUrl, client("late"), "DENIED", /certificate expired; look at/);
    await refused(t, server.tlsUrl, { ...client("ada", strange), ...CA() }, "DENIED", hint);
    const mixed = { ...client("ada"), key: text("late.key") };
    await refused(t, server.tlsUrl, mixed, "ARGUMENT", /key values mismatch; mqtt\.certificate and mqtt\.key have to belong together/);
    t.equal(server.log().match(/New client connected/g)?.length, 1);
  });

  await t.test("files that cannot be read, or hold something else, are named, and read again when they are mended", async (t) => {
    const server = await secured(t, "garage", ["require_certificate true"]);
    const own = t.testdir({ "ca.pem": text("ca.crt"), "node.crt": text("ada.crt"), "empty.pem": "" });
    const at = (name: string): string => join(own, name);
    const files = `ca: ${at("ca.pem")}, certificate: ${at("node.crt")}, key: ${at("node.key")}`;
    const { ask } = await startAgent(t, `mqtt: { url: "${server.tlsUrl}", ${files}, retryMinMs: 10, retryMaxMs: 20 }\n`);
    const said = async (what: RegExp) => what.test(await ask("INFO mqtt"));
    await eventually(() => said(/last_error_code:IO\r\nlast_error:cannot read \S+node\.key, which mqtt\.key names: ENOENT/));
    writeFileSync(at("node.key"), "secret\n");
    await eventually(() => said(/last_error_code:ARGUMENT\r\nlast_error:\S+node\.key, which mqtt\.key names, holds no PRIVATE KEY in PEM/));
    writeFileSync(at("ca.pem"), "");
    await eventually(() => said(/ca\.pem, which mqtt\.ca names, holds no CERTIFICATE in PEM/));
    writeFileSync(at("ca.pem"), text("ca.crt"));
    writeFileSync(at("node.key"), text("ada.key"));
    await eventually(() => said(/connected:1\r\n/));
    t.pass("connected");
  });

  await t.test("MQTT goes over web sockets, plain and with TLS", async (t) => {
    const plain = await startWebSocketBroker();
    t.teardown(() => plain.close());
    await works(t, plain.url, {}, { protocol: 4 });
    const secure = await startWebSocketBroker({ certificate: join(folder, "garage.crt"), key: join(folder, "garage.key") });
    t.teardown(() => secure.close());
    await works(t, secure.url, CA(), { protocol: 4 });
    await refused(t, secure.url, { ca: text("ca.crt", strange) }, "DENIED", /is not trusted: .*mqtt\.ca$/, { protocol: 4 });
    t.pass("messages came back");
  });
});
