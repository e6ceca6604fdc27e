import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import t, { type Test } from "tap";

import { eventually, startAgent, type RunningAgent } from "../helpers/start-agent.ts";

interface Exchange {
  readonly send: string;
  readonly payload: string;
  /** exact; hex16, hex8, decimal: what the node gives out, to be put in place of the recorded one from then on; nul500; ignore: undefined by the original. */
  readonly match: string;
  readonly padTo?: number;
  /** The record in REQUEST_REPLY.queue. */
  readonly persisted?: string;
}

interface Session {
  readonly listener: string;
  readonly title: string;
  readonly bits: number;
  /** A build that answered what no later one did. */
  readonly historic?: boolean;
  readonly exchanges: readonly Exchange[];
  readonly verticesFileHex?: string;
}

const { sessions } = JSON.parse(readFileSync(new URL("../fixtures/service-sessions.json", import.meta.url), "utf8")) as {
  sessions: readonly Session[];
};

const REPLY_BYTES = 500;

/** What an original system call sends: the text, a NUL, and so many bytes in all. */
const SYSCALL_BYTES = 3000;

const GIVEN_OUT: Readonly<Record<string, RegExp>> = { hex16: /^ffff88[0-9a-f]{10}$/, hex8: /^[0-9a-f]{8}$/, decimal: /^\d+$/ };

/** What was in the file before the session was recorded. */
const FILE_BEFORE: Readonly<Record<string, string>> = {
  "telnet opens, appends, reads and closes": "Example for virgo64 filesystem system calls\n",
  "telnet opens the same file twice; descriptors are not used again": "DataWritten25September2017\0".padEnd(250, "\0"),
  "32-bit: the path in quotes":
    "This is an example file for virgo_open(),virgo_read(),virgo_write() and virgo_close() telnet and syscall invocations.\n",
  "32-bit: reads what was appended before":
    'This is an example file for virgo_open(),virgo_read(),virgo_write() and virgo_close() telnet and syscall invocations.\n"Appended"'.padEnd(
      368,
      "\0",
    ),
};

const VIRGO_FILE = "var/log/virgo_fs/virgofstest.txt";

async function startFor(t: Test, session: Session): Promise<RunningAgent> {
  const { title, bits, exchanges } = session;
  const queueReply = exchanges.some(({ match }) => match === "nul500") ? "nul" : "ack";
  const root = t.testdir();
  const file = join(root, VIRGO_FILE);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, FILE_BEFORE[title] ?? "");
  return startAgent(t, `classic: { addressWidth: ${bits}, queueReply: ${queueReply} }\nfiles: { root: ${root} }\n`);
}

/** Goes through the session; `wrap` makes of a recorded request what is sent. */
async function replay(t: Test, session: Session, agent: RunningAgent, wrap: (send: string) => string): Promise<void> {
  /** Recorded address or descriptor → ours. */
  const ours = new Map<string, string>();
  const translated = (text: string) => [...ours].reduce((all, [theirs, own]) => all.replaceAll(pattern(theirs), own), text);
  for (const { send, payload, match } of session.exchanges) {
    const reply = await agent.exchange(session.listener, wrap(translated(send)));
    t.equal(reply.length, REPLY_BYTES, `${send.trim()}: ${REPLY_BYTES} bytes`);
    const [text = ""] = reply.split("\0", 1);
    t.equal(reply, text.padEnd(REPLY_BYTES, "\0"), "nothing but NULs behind the payload");
    const given = GIVEN_OUT[match];
    if (given !== undefined) {
      t.match(text, given, `${send.trim()}: given out`);
      ours.set(payload, text);
    } else if (match === "nul500") t.equal(text, "");
    else if (match === "exact" && session.historic !== true) t.equal(text, translated(payload), `${send.trim()}: as recorded`);
  }
}

/** The recorded address or descriptor where one stands in a request or a reply. */
function pattern(theirs: string): RegExp {
  return theirs.length > 2 ? new RegExp(theirs, "g") : new RegExp(`(?<=\\()${theirs}(?=[,)])`, "g");
}

t.equal(sessions.length, 24, "every recorded session of these ports is here");

for (const session of sessions) {
  t.test(`${session.listener}: ${session.title}, as recorded`, async (t) => {
    const agent = await startFor(t, session);
    await replay(t, session, agent, (send) => send);
    await checkFiles(t, session, agent);
  });

  t.test(`${session.listener}: ${session.title}, as a system call sends it: 3000 bytes with what its stack held`, async (t) => {
    const agent = await startFor(t, session);
    await replay(t, session, agent, (send) => `${send.replace(/[\r\n\0]+$/, "")}\0`.padEnd(SYSCALL_BYTES, "\x7f"));
    await checkFiles(t, session, agent);
  });
}

/** What the session left behind. */
async function checkFiles(t: Test, session: Session, { stateFolder }: RunningAgent): Promise<void> {
  if (session.listener === "queue") {
    const file = join(stateFolder, "queue", "REQUEST_REPLY.queue");
    const payloads = session.exchanges.map(({ send }) => send.trim());
    await eventually(() => payloads.every((payload) => readFileSync(file, "latin1").includes(`#${payload} $$\n`)));
    const records = readFileSync(file, "latin1");
    t.equal(records.length % 256, 0, "whole records");
    t.match(records.slice(256), /^REQUEST#7f000001#\d+:\d+#/, "with the client's address");
  } else if (session.listener === "eventnet") {
    const edges = session.exchanges.flatMap(({ send }) => /^eventnet_edgemsg#(\d+)#(\d+)#/.exec(send)?.slice(1, 3).join(",") ?? []);
    const file = join(stateFolder, "eventnet", "EventNetEdges.txt");
    t.equal(
      readFileSync(file, "latin1"),
      edges.map((edge) => `${edge}\n`).join(""),
      "the edges are in the file before the answer, one a line",
    );
  }
}

t.test("eventnet: a vertex is kept on one clean line, as the readers of these files expect", async (t) => {
  const session = sessions.find(({ verticesFileHex }) => verticesFileHex !== undefined);
  if (session === undefined) throw new Error("the session with a vertex is gone");
  const agent = await startFor(t, session);
  await agent.exchange("eventnet", "eventnet_vertexmsg#1#11#12#\r\n");
  await replay(t, session, agent, (send) => send);
  const file = join(agent.stateFolder, "eventnet", "EventNetVertices.txt");
  await eventually(() => readFileSync(file, "latin1").includes("(18,12)"));
  t.match(
    readFileSync(file, "latin1"),
    /^1 - 11,12,15,19,18 - \(11,12\)#\(15,19\)#\(18,12\)\n/m,
    "partakers once each, conversations in order",
  );
});
