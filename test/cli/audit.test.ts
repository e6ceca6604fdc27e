import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t from "tap";
import type { Test } from "tap";

import { openAudit } from "../../agent/access/audit.ts";
import { auditOptionsSchema } from "../../agent/access/options.ts";
import { auditShowCommand, auditVerifyCommand } from "../../agent/cli/audit.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeIo } from "../helpers/fake-io.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import type { CliIo } from "../../agent/cli/io.ts";

/** A state folder with the log of an agent that ran for ten minutes and moved a lamp once a minute; the hash of the last entry. */
async function makeLog(t: Test, maxBytes?: number): Promise<{ readonly state: string; readonly file: string; readonly hash: string }> {
  const state = mkdtempSync(join(tmpdir(), "virgo-audit-"));
  t.teardown(() => {
    rmSync(state, { recursive: true, force: true });
  });
  const file = join(state, "audit.log");
  const clock = createFakeClock();
  const journal = createJournal(clock);
  const options = { ...auditOptionsSchema.parse({}), ...(maxBytes !== undefined && { maxBytes }) };
  const audit = await openAudit({ ...options, file, clock, log: createFakeLog(), journal, node: "garage" });
  for (let i = 0; i < 10; i++) {
    journal.record("actuate", "lamp", "ada", `dim(${i})`);
    await audit.flush();
    await clock.advance(60_000);
  }
  for (let i = 0; i < 3; i++) audit.record("refuse", "192.0.2.1", "CLONE", "not authenticated \u001b[2J");
  await audit.close();
  return { state, file, hash: String(audit.figures()["hash"]) };
}

async function ran(command: (io: CliIo) => Promise<number>): Promise<{ code: number; out: string; error: string }> {
  const io = createFakeIo();
  // The clock of the log, ten minutes on.
  const code = await command({ ...io, clock: { ...io.clock, wallMs: () => 1_700_000_000_000 + 600_000 } });
  return { code, ...io.printed };
}

t.test("verify follows the chain through all files and says where it ends", async (t) => {
  const { state, file, hash } = await makeLog(t, 1500);
  const whole = await ran((io) => auditVerifyCommand(undefined, { state }, io));
  t.match(whole, { code: 0, error: "" });
  t.match(
    whole.out,
    new RegExp(
      `^14 entries in \\d files, 1 to 14, 2023-11-14T22:13:20\\.000Z to 2023-11-14T22:23:20\\.000Z: the chain is whole\\. Its last hash is ${hash}\\.\n$`,
    ),
  );
  t.equal((await ran((io) => auditVerifyCommand(file, {}, io))).out, whole.out, "a file may be named");
  const json = JSON.parse((await ran((io) => auditVerifyCommand(file, { json: true }, io))).out) as object;
  t.match(json, { ok: true, file, entries: 14, first: 1, last: 14, hash, notes: [] });
  t.match(await ran((io) => auditVerifyCommand(file, { hash }, io)), { code: 0 });
  const other = "0".repeat(63) + "1";
  t.match(await ran((io) => auditVerifyCommand(file, { hash: other }, io)), {
    code: 1,
    out: `no entry has the hash ${other}: the log was cut off, or is another\n`,
  });
});

t.test("verify names the first line that is wrong and ends with 1", async (t) => {
  const { file } = await makeLog(t);
  const lines = readFileSync(file, "utf8").split("\n");
  writeFileSync(file, lines.map((line, i) => (i === 4 || i === 7 ? line.replace("ada", "eve") : line)).join("\n"));
  t.strictSame(await ran((io) => auditVerifyCommand(file, {}, io)), {
    code: 1,
    out: `${file}:5: it was changed: its hash is not that of its text\nThe 4 entries before that line are as they were written.\n`,
    error: "",
  });
  t.match(JSON.parse((await ran((io) => auditVerifyCommand(file, { json: true }, io))).out), { ok: false, broken: /:5: it was changed/ });
  t.match(await ran((io) => auditShowCommand(file, {}, io)), {
    code: 1,
    error: /audit\.log:5: it was changed.*\n.*audit\.log:8: it was changed/,
  });
});

t.test("a log that is being written, or was torn, is well up to there", async (t) => {
  const { file } = await makeLog(t);
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.slice(0, -20));
  const verified = await ran((io) => auditVerifyCommand(file, {}, io));
  t.equal(verified.code, 0);
  t.match(
    verified.out,
    /^.*audit\.log:14: the last line is not whole: it is being written, or was torn when the agent was killed\n13 entries/,
  );
  t.match(await ran((io) => auditShowCommand(file, {}, io)), { code: 0, error: "" });
});

t.test("show prints one line per entry, as people read them", async (t) => {
  const { state, file } = await makeLog(t);
  const { code, out } = await ran((io) => auditShowCommand(undefined, { state }, io));
  t.equal(code, 0);
  const lines = out.trimEnd().split("\n");
  t.equal(lines[0], "2023-11-14T22:13:20.000Z  start         -  garage");
  t.equal(lines[1], "2023-11-14T22:13:20.000Z  actuate       ada  lamp  dim(0)");
  t.equal(lines.at(-3), "2023-11-14T22:23:20.000Z  refuse        192.0.2.1  CLONE  not authenticated ?[2J", "nothing steers the terminal");
  t.equal(lines.at(-2), `${lines.at(-3) ?? ""}  (2 times until 2023-11-14T22:23:20.000Z)`);
  const since = async (text: string): Promise<number> =>
    (await ran((io) => auditShowCommand(file, { since: text }, io))).out.trimEnd().split("\n").length;
  t.equal(await since("150s"), 5);
  t.equal(await since("1h"), 14);
  t.equal(await since("2023-11-14T22:23:00Z"), 3);
  await t.rejects(
    ran((io) => auditShowCommand(file, { since: "soon" }, io)),
    { code: "ARGUMENT", message: /--since is soon; a date and time as 2026-01-31T12:00 or a time before now as 2h is expected/ },
  );
  const json = (await ran((io) => auditShowCommand(file, { json: true, since: "10s" }, io))).out.trimEnd().split("\n");
  t.equal(json.length, 3);
  t.match(JSON.parse(json[0] ?? ""), { seq: 12, kind: "refuse", caller: "192.0.2.1" });
});

t.test("no log is a mistake of the command line", async (t) => {
  const { state } = await makeLog(t);
  for (const command of [auditVerifyCommand, auditShowCommand]) {
    await t.rejects(
      ran((io) => command(join(state, "none.log"), {}, io)),
      { code: "ARGUMENT", message: /^there is no audit log .*none\.log; name it, or the agent's state folder with --state$/ },
    );
    await t.rejects(
      ran((io) => command(join(state, "none", "audit.log"), {}, io)),
      { code: "ARGUMENT" },
    );
  }
});
