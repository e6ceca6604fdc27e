import fc from "fast-check";
import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { errorReply, OK, valueReply } from "../../agent/contract/request.ts";
import type { Reply, Request } from "../../agent/contract/request.ts";
import { FILES_WRITE, filesGrammar } from "../../agent/wire/classic-files.ts";
import { createClassicCodec } from "../../agent/wire/classic.ts";
import { cuts } from "../helpers/cuts.ts";
import { createTextSink } from "../helpers/text-sink.ts";

const LIMITS = { classicMaxBytes: 3000 };

/** The request and what was wrong with it, of bytes that come cut in some way and are followed by silence. */
function hear(chunks: readonly Uint8Array[]): { readonly requests: readonly Request[]; readonly failure: string } {
  const codec = createClassicCodec(LIMITS, filesGrammar);
  const requests = [...chunks.flatMap((chunk) => codec.push(chunk)), ...codec.quiet()];
  return { requests, failure: codec.failure === undefined ? "" : `${codec.failure.code} ${codec.failure.message}` };
}

function heard(text: string): Request | string {
  const { requests, failure } = hear([Buffer.from(text, "latin1")]);
  return requests[0] ?? failure;
}

function payload(reply: Reply, request: Request | undefined): string {
  const sink = createTextSink();
  createClassicCodec(LIMITS, filesGrammar).format(reply, request, sink);
  return sink.take();
}

const OPEN: Request = { verb: "FOPEN", args: ["/a", "RW"] };
const READ: Request = { verb: "FREAD", args: ["0", "250", "0"] };

t.test("the four commands, ended in every way and cut anywhere", (t) => {
  for (const [text, verb, args] of [
    ["virgo_cloud_open(/var/log/virgo_fs/virgofstest.txt)", "FOPEN", ["/var/log/virgo_fs/virgofstest.txt", "RW"]],
    ['virgo_cloud_read(0,"none",250,0)', "FREAD", ["0", "250", "0"]],
    ["virgo_cloud_write(12,with spaces and (parentheses),250,0)", FILES_WRITE, ["12", "with spaces and (parentheses)", "250"]],
    ["virgo_cloud_close(3)", "FCLOSE", ["3"]],
  ] as const) {
    for (const end of ["\r\n", "\n", "\r", "\0", "\0\0junk)\n", ""]) {
      for (const chunks of cuts(text + end)) t.strictSame(hear(chunks), { requests: [{ verb, args }], failure: "" });
    }
  }
  t.end();
});

t.test("a parenthesis ends nothing: data may hold one, and what a system call left behind it is data too", (t) => {
  const debris = "virgo_cloud_write(0,test_virgo_filesystem_25September2017rgofstest.txt),250,0)";
  t.strictSame(heard(`${debris}\0`.padEnd(3000, "\0")), {
    verb: FILES_WRITE,
    args: ["0", "test_virgo_filesystem_25September2017rgofstest.txt)", "250"],
  });
  t.strictSame(heard('virgo_cloud_write(0,"a)b",5,0)'), { verb: FILES_WRITE, args: ["0", '"a)b"', "5"] }, "quotes of data are data");
  t.strictSame(heard("virgo_cloud_write(0,a\xff\x80b,5,0)"), { verb: FILES_WRITE, args: ["0", "a\xff\x80b", "5"] });
  t.end();
});

t.test("a path goes to the first parenthesis, and may stand in quotes", (t) => {
  const path = (text: string) => (heard(text) as Request).args[0];
  t.equal(path('virgo_cloud_open("/var/log/a.txt")'), "/var/log/a.txt");
  t.equal(path("virgo_cloud_open(/a,b c)d)"), "/a,b c");
  t.equal(path("virgo_cloud_open(/a"), "/a", "the end may be missing");
  t.equal(path('virgo_cloud_open("a)'), '"a', "one quote is part of the name");
  t.equal(path("virgo_cloud_open()"), "");
  t.end();
});

t.test("numbers are the digits a field starts with", (t) => {
  t.strictSame(heard('virgo_cloud_read("7","x", "30x", "4")'), { verb: "FREAD", args: ["7", "30", "4"] });
  t.strictSame(heard("virgo_cloud_read(7,x,5000,4)"), { verb: "FREAD", args: ["7", "499", "4"] }, "more does not fit into a reply");
  for (const text of ["virgo_cloud_close(-1)", "virgo_cloud_close()", "virgo_cloud_read(-1,x,10,0)", "virgo_cloud_write(,x,10,0)"]) {
    t.match(heard(text), /^SYNTAX the descriptor is a whole number from 0, not "/, "a failed open is not descriptor 0");
  }
  t.match(heard("virgo_cloud_read(0,x,-5,0)"), /^SYNTAX the count/);
  t.match(heard("virgo_cloud_read(0,x,5,y)"), /^SYNTAX the position/);
  t.match(heard("virgo_cloud_write(0,x)"), /^SYNTAX the count is a whole number from 0, not ""$/);
  t.end();
});

t.test("the forms of the original's plugin have no position", (t) => {
  t.strictSame(heard("_Z16virgo_cloud_openPv virgo_cloud_open(/a)"), OPEN);
  t.strictSame(heard("_Z16virgo_cloud_readPv virgo_cloud_read(3,sssss,256)"), { verb: "FREAD", args: ["3", "256"] });
  t.strictSame(heard("_Z17virgo_cloud_writePv virgo_cloud_write(3,Appended8May2014,256)"), {
    verb: FILES_WRITE,
    args: ["3", "Appended8May2014", "256"],
  });
  t.strictSame(heard("_Z17virgo_cloud_closePv virgo_cloud_close(3)"), { verb: "FCLOSE", args: ["3"] });
  t.end();
});

t.test("anything else is no command", (t) => {
  for (const text of [
    "virgo_cloud_malloc(100)",
    "virgo_cloud_open",
    "open(/a)",
    "virgo_cloud_(/a)",
    "x virgo_cloud_open(/a)",
    "VIRGO_CLOUD_OPEN(/a)",
  ]) {
    t.equal(
      heard(text),
      `SYNTAX ${JSON.stringify(text)} is none of virgo_cloud_open, virgo_cloud_read, virgo_cloud_write and virgo_cloud_close`,
    );
  }
  t.match(heard("y".repeat(2000)), /^SYNTAX "y{40}\.\.\."/);
  t.match(heard(`virgo_cloud_open(${"y".repeat(3000)})`), /^LIMIT /);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const { requests, failure } = hear([bytes]);
      return requests.length <= 1 && (failure === "" || failure.startsWith("SYNTAX "));
    }),
  );
  t.end();
});

t.test("a reply is what the client waits for, and NULs up to 500 bytes", (t) => {
  t.equal(payload(valueReply(14), OPEN), "14".padEnd(500, "\0"));
  t.equal(payload(valueReply(Buffer.from("a\0\xffb", "latin1")), READ), "a\0\xffb".padEnd(500, "\0"), "bytes as they are");
  t.equal(payload(valueReply(Buffer.alloc(600, "x")), READ), `${"x".repeat(499)}\0`);
  t.equal(payload(valueReply(250), { verb: FILES_WRITE, args: [] }), "250".padEnd(500, "\0"));
  t.equal(payload(OK, { verb: "FCLOSE", args: ["0"] }), "0".padEnd(500, "\0"));
  const failed = errorReply(new AgentError("UNKNOWN", "no file a"));
  t.equal(payload(failed, OPEN), "-1".padEnd(500, "\0"));
  t.equal(payload(failed, READ), "\0".repeat(500));
  t.equal(payload(failed, undefined), "\0".repeat(500));
  t.equal(payload(valueReply(null), READ), "\0".repeat(500));
  t.end();
});
