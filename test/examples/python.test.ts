import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { promisify } from "node:util";

import t, { type Test } from "tap";

import { eventually } from "../helpers/eventually.ts";
import { startScriptedNode } from "../helpers/scripted-node.ts";
import { startAgent } from "../helpers/start-agent.ts";

const FOLDER = join(import.meta.dirname, "..", "..", "examples", "python");

/** Not written beside the example. */
const ENV = { ...process.env, PYTHONPATH: FOLDER, PYTHONDONTWRITEBYTECODE: "1" };

const HEAD = `import json, sys
from virgo import Client, PairStream, VirgoError, tls_context
def code(run):
    try:
        run()
    except VirgoError as error:
        return f"{error.code} {error.message}"
    return "nothing"
`;

/** Runs a program and returns what it printed as JSON, one value per line. */
async function python(program: string, ...args: string[]): Promise<unknown[]> {
  const { stdout } = await promisify(execFile)("python3", ["-W", "error", "-c", HEAD + program, ...args], { env: ENV });
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as unknown);
}

const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;

t.test("python3 of version 3.9 or later is there", async (t) => {
  const version = await promisify(execFile)("python3", ["--version"]).then(
    ({ stdout }) => stdout.trim(),
    (error: unknown) => `none (${String(error)})`,
  );
  const [, major, minor] = /^Python (\d+)\.(\d+)/.exec(version) ?? [];
  t.ok(Number(major) === 3 && Number(minor) >= 9, `these tests run python3, 3.9 or later (apt install python3); found ${version}`);
});

t.test("variables, clone with a lease, errors with their code, and a pipeline, on a real agent", async (t) => {
  const { agent, board } = await startAgent(
    t,
    `devices:
  lamp: { driver: light, pwm: { chip: sim, channel: 0 }, beam: { low: 30, high: 100 } }
analytics: { variables: { battery_v: { unit: V, staleMs: 60000, min: 0, max: 60 } } }
`,
  );
  const printed = await python(
    `
with Client(sys.argv[1]) as agent:
    agent.set_variables({"lane.offset": -0.25}, battery_v=11.2, gear="größer", ok=True, scan=[1, 2.5])
    print(json.dumps([agent.get_variable(name) for name in ("lane.offset", "battery_v", "gear", "ok", "scan")]))
    print(json.dumps(agent.variables("batt*")[0]["unit"]))
    print(json.dumps(agent.clone("lamp.beam", "low", lease_ms=60000, priority=120, deadline_ms=1000, seq=1)))
    print(json.dumps([device["id"] for device in agent.devices()]))
    print(json.dumps(code(lambda: agent.clone("lamp.off"))[:6]))
    print(json.dumps(code(lambda: agent.set_variables(battery_v=61))))
    print(json.dumps([str(answer) for answer in agent.pipeline([("PING",), ("VAR.GET", "nothing"), ("PING", "µ"), ("VAR.SET", "n", 5)])]))
    agent.emergency_stop()
    print(json.dumps(code(lambda: agent.clone("lamp.on", priority=120))[:7]))
    agent.call("ESTOP", "RESET")
    print(json.dumps(agent.node))
`,
    agent.addresses["gateway"]!,
  );
  t.same(printed, [
    [-0.25, 11.2, "größer", true, [1, 2.5]],
    "V",
    30,
    ["lamp"],
    "IN_USE",
    "ARGUMENT battery_v is 61; 0 to 60 is expected",
    ["PONG", "UNKNOWN no variable nothing; VAR.LIST lists them", "µ", "OK"],
    "FAULTED",
    "virgo",
  ]);
  t.equal(board.world.duty("pwm sim:0"), 0);
});

t.test("changes of variables are followed", async (t) => {
  const { agent } = await startAgent(t, "");
  const watching = python(
    `
with Client(sys.argv[1]) as agent:
    changes = agent.watch("b*")
    with Client(sys.argv[1]) as other:
        other.set_variables(ready=1)
        for name, value, unit in changes:
            print(json.dumps([name, value, unit]))
            if value == 3: break
`,
    agent.addresses["gateway"]!,
  );
  // The watch begins with the first value that is waited for: it is told again until it is seen.
  let done = false;
  void watching.then(
    () => (done = true),
    () => (done = true),
  );
  let value = 0;
  await eventually(() => {
    agent.variables.set("b", (value = (value % 3) + 1), "test");
    agent.variables.set("other", value, "test");
    return done;
  });
  const seen = (await watching) as [string, number, string | null][];
  t.ok(seen.length > 0);
  for (const [name, number, unit] of seen) t.ok(name === "b" && number >= 1 && number <= 3 && unit === null);
  t.equal(seen.at(-1)?.[1], 3);
});

t.test("pairs are streamed both ways round: to an agent that listens, and to one that connects", async (t) => {
  const listening = await startAgent(t, "analytics: { sources: [{ tcp: 127.0.0.1:0, listen: true }] }\n");
  await python(
    `
with PairStream.connect(sys.argv[1]) as stream:
    stream.send({"lane.offset": -0.5}, battery_v=11.25, ok=False, scan=(1, 2), gear="D")
`,
    listening.agent.addresses["analytics"]!,
  );
  const { variables } = listening.agent;
  await eventually(() => variables.get("gear") !== undefined);
  t.strictSame(
    ["lane.offset", "battery_v", "ok", "scan", "gear"].map((name) => variables.get(name)?.value),
    [-0.5, 11.25, false, [1, 2], "D"],
  );

  const feed = spawn("python3", [join(FOLDER, "feed.py"), "--serve", "127.0.0.1:0", "--interval", "0.01", "--name", "volts"], { env: ENV });
  t.teardown(async () => {
    feed.kill("SIGKILL");
    if (feed.exitCode === null && feed.signalCode === null) await once(feed, "exit");
  });
  let announced = "";
  feed.stdout.on("data", (chunk: Buffer) => (announced += chunk.toString()));
  await eventually(() => announced.endsWith("\n"));
  const where = /^waiting for an agent on (127\.0\.0\.1:\d+)\n$/.exec(announced)?.[1] ?? announced;
  const connecting = await startAgent(t, `analytics: { sources: [{ tcp: ${where} }] }\n`);
  await eventually(() => (connecting.agent.variables.get("volts")?.updates ?? 0) >= 3);
  const volts = connecting.agent.variables.get("volts")?.value as number;
  t.ok(volts >= 11 && volts <= 12.6, `${volts} V`);
  feed.kill("SIGINT");
  t.strictSame(await once(feed, "exit"), [0, null], "Ctrl-C ends it quietly");
});

t.test("feed.py sets a variable over the gateway, and says so when nobody is there", async (t) => {
  const { agent } = await startAgent(t, "");
  const gateway = agent.addresses["gateway"]!;
  const run = (...args: string[]) => promisify(execFile)("python3", [join(FOLDER, "feed.py"), "--interval", "0", ...args], { env: ENV });
  await run("--address", gateway, "--count", "61");
  t.match(agent.variables.get("battery_v"), { value: 11, updates: 61 });
  await t.rejects(run("--address", "127.0.0.1:1", "--count", "1"), {
    code: 1,
    stderr: "IO nothing listens on 127.0.0.1:1; is the agent running?\n",
  });
});

t.test("memory of a real agent", async (t) => {
  const { agent } = await startAgent(t, "node: garage\n");
  const printed = await python(
    `
with Client(sys.argv[1]) as agent:
    agent.set("k", "größer", ttl_ms=60000)
    print(json.dumps([agent.get("k"), agent.get("none"), agent.increment("n"), agent.delete("k", "n")]))
    block = agent.malloc(100, ttl_ms=60000)
    revision = agent.store(block, b"\\x00\\xff")
    print(json.dumps([block.split(":")[0], list(agent.load(block))]))
    print(json.dumps(code(lambda: agent.store(block, "x", if_revision=revision + 1))[:5]))
    agent.free(block)
    print(json.dumps(code(lambda: agent.load(block))[:7]))
`,
    agent.addresses["gateway"]!,
  );
  t.strictSame(printed, [["größer", null, 1, 2], ["garage", [0, 255]], "STALE", "UNKNOWN"]);
});

t.test("memory: keys and blocks, as they are asked for", async (t) => {
  const node = await startScriptedNode(t, ([verb]) => {
    const answers: Record<string, string> = {
      ...{ SET: "+OK\r\n", GET: "_\r\n", DEL: ":1\r\n", INCR: ":9223372036854775807\r\n" },
      ...{ MALLOC: bulk("garage:ffff880000000010"), SETM: ":7\r\n", GETM: bulk("\xff\0"), FREEM: "+OK\r\n" },
    };
    return answers[verb ?? ""];
  });
  const printed = await python(
    `
with Client(sys.argv[1]) as agent:
    agent.set("k", b"\\x00\\xff", ttl_ms=500)
    print(json.dumps([agent.get("k"), agent.delete("k", "l"), agent.increment("n")]))
    block = agent.malloc(100, ttl_ms=1000)
    print(json.dumps([block, agent.store(block, "text", if_revision=6), list(agent.load(block))]))
    agent.free(block)
`,
    node.address,
  );
  t.equal(JSON.stringify(printed[1]), '["garage:ffff880000000010",7,[255,0]]');
  t.match(printed[0], [null, 1, 2 ** 63]);
  t.strictSame(node.asked, [
    "SET k \0\xff PX 500",
    "GET k",
    "DEL k l",
    "INCR n",
    "MALLOC 100 TTL 1000",
    "SETM garage:ffff880000000010 text IF 6",
    "GETM garage:ffff880000000010",
    "FREEM garage:ffff880000000010",
  ]);
});

t.test("every kind of answer, byte by byte", async (t) => {
  const answers = [
    "_\r\n#t\r\n#f\r\n,1.5\r\n,inf\r\n,-inf\r\n:-7\r\n(123456789012345678901234567890\r\n",
    "$-1\r\n*-1\r\n=7\r\ntxt:abc\r\n!10\r\nLIMIT  far\r\n+OK\r\n$0\r\n\r\n",
    `|1\r\n+hint\r\n:1\r\n*3\r\n:1\r\n-IO in a list\r\n*1\r\n${bulk("\xc2\xb5")}`,
    "%1\r\n+a\r\n~2\r\n:1\r\n:2\r\n>2\r\n+var\r\n+push\r\n+LAST\r\n",
  ].join("");
  let socket: Socket | undefined;
  const node = await startScriptedNode(t, (words, from) => {
    socket = from;
    if (words[0] !== "LAST") return undefined;
    const bytes = Buffer.from(answers, "latin1");
    let at = 0;
    const next = () => {
      if (at < bytes.length) from.write(bytes.subarray(at, ++at), () => setImmediate(next));
    };
    next();
    return undefined;
  });
  const [values] = await python(
    `
with Client(sys.argv[1]) as agent:
    answers = agent.pipeline([("A",)] * 16 + [("LAST",)])
    print(json.dumps([repr(answer) for answer in answers]))
`,
    node.address,
  );
  t.strictSame(values, [
    ...["None", "True", "False", "1.5", "inf", "-inf", "-7", "123456789012345678901234567890"],
    ...["None", "None", "'abc'", "VirgoError('LIMIT  far')", "'OK'", "''"],
    ...["[1, VirgoError('IO in a list'), ['µ']]", "{'a': [1, 2]}", "'LAST'"],
  ]);
  socket?.destroy();
});

t.test("what goes wrong with the connection is IO or TIMEOUT, once, and nothing is repeated", async (t) => {
  const node = await startScriptedNode(t, ([verb], socket) => {
    if (verb === "HANGUP") socket.destroy();
    return { NONSENSE: "HTTP/1.1 400\r\n", LONG: `$99999999999\r\n` }[verb ?? ""];
  });
  const printed = await python(
    `
import json
for verb in ("HANGUP", "SILENCE", "NONSENSE", "LONG"):
    agent = Client(sys.argv[1], timeout=0.2)
    print(json.dumps(code(lambda: agent.call(verb))))
    print(json.dumps(code(lambda: agent.call(verb))[:2]))
print(json.dumps(code(lambda: Client("127.0.0.1:1"))))
`,
    node.address,
  );
  t.match(printed[0], /^IO 127\.0\.0\.1:\d+: (the agent closed the connection|.*reset.*)/i);
  t.match(printed[2], /^TIMEOUT 127\.0\.0\.1:\d+ has not answered in time$/);
  t.match(printed[4], /^IO .*not a reply: b'H'/);
  t.match(printed[6], /^IO .*a reply of 99999999999 bytes is refused$/);
  t.strictSame([printed[1], printed[3], printed[5], printed[7]], ["IO", "IO", "IO", "IO"], "a connection that failed is not used again");
  t.equal(printed[8], "IO nothing listens on 127.0.0.1:1; is the agent running?");
  t.strictSame(node.asked, ["HANGUP", "SILENCE", "NONSENSE", "LONG"]);
});

t.test("a user authenticates with a token", async (t) => {
  const tokenSha256 = createHash("sha256").update("swordfish").digest("hex");
  const { agent } = await startAgent(t, `auth: { users: [{ name: ada, tokenSha256: ${tokenSha256}, priority: 50 }] }\n`);
  const printed = await python(
    `
with Client(sys.argv[1], user="ada", token="swordfish") as agent:
    print(json.dumps(agent.call("CLIENT", "INFO").split("user=")[1].split(" ")[0]))
print(json.dumps(code(lambda: Client(sys.argv[1], token="hunter2"))[:6]))
`,
    agent.addresses["gateway"]!,
  );
  t.strictSame(printed, ["ada", "DENIED"]);
});

t.test("TLS 1.3 with certificates of both sides", async (t) => {
  const { port, protocols } = await serveTls(t);
  const folder = `${join(import.meta.dirname, "..", "fleet", "tls")}/`;
  const printed = await python(
    `
folder, address = sys.argv[1:]
def client(ca, *own):
    return Client(address, tls=tls_context(folder + ca, *(folder + name for name in own)), timeout=2)
with client("ca.pem", "client.pem", "client.key") as agent:
    print(json.dumps(agent.call("PING")))
print(json.dumps(code(lambda: client("other-ca.pem", "client.pem", "client.key"))[:2]))
print(json.dumps(code(lambda: client("ca.pem"))[:2]))
`,
    folder,
    `127.0.0.1:${port}`,
  );
  t.strictSame(printed, ["PONG", "IO", "IO"]);
  t.equal(protocols[0], "TLSv1.3");
});

async function serveTls(t: Test): Promise<{ readonly port: number; readonly protocols: (string | null)[] }> {
  const pem = (name: string) => readFileSync(join(import.meta.dirname, "..", "fleet", "tls", name));
  const protocols: (string | null)[] = [];
  const sockets = new Set<Socket>();
  const server = createTlsServer(
    { ca: pem("ca.pem"), cert: pem("node.pem"), key: pem("node.key"), requestCert: true, rejectUnauthorized: true },
    (socket) => {
      protocols.push(socket.getProtocol());
      socket.on("error", () => socket.destroy());
      socket.on("data", (chunk: Buffer) => socket.write(chunk.includes("HELLO") ? "%0\r\n" : "+PONG\r\n"));
    },
  ).listen(0, "127.0.0.1");
  server.on("connection", (socket) => sockets.add(socket));
  server.on("tlsClientError", () => undefined);
  await once(server, "listening");
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, protocols };
}
