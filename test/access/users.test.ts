import { createHash } from "node:crypto";
import { mkdtempSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t from "tap";

import { createUsers, tokenDigest } from "../../agent/access/users.ts";
import { followUsersFile } from "../../agent/access/users-file.ts";
import { readUsersFile } from "../../agent/config/users-file.ts";
import { createFakeClock, settled } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { createRecorder } from "../helpers/recorder.ts";
import type { Users } from "../../agent/access/users.ts";

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function who(users: Users, token: string, name?: string): string | undefined {
  return users.withToken(name, tokenDigest(token))?.name;
}

t.test("users are found by token, or by name and token", (t) => {
  const users = createUsers([
    { name: "ada", tokenSha256: sha256("one"), priority: 50 },
    { name: "bob", tokenSha256: sha256("two"), priority: 200, revoked: true },
    { name: "eve", certificate: "eve", priority: 1 },
  ]);
  t.equal(users.count, 3);
  t.equal(who(users, "one"), "ada");
  t.equal(who(users, "one", "ada"), "ada");
  t.equal(who(users, "one", "bob"), undefined);
  t.equal(who(users, "three"), undefined);
  t.equal(who(users, "", "eve"), undefined, "who has no token cannot come in by one");
  t.match(users.withToken(undefined, tokenDigest("two")), { name: "bob", revoked: true }, "who is revoked is still known");
  t.end();
});

t.test("certificates are known by their common name, then by patterns, each as a caller of its own", (t) => {
  const users = createUsers([
    { name: "fleet", certificate: "*", priority: 10 },
    { name: "pumps", certificate: "pump-*-east", priority: 20 },
    { name: "ada", certificate: "ada", priority: 50, revoked: true },
  ]);
  const name = (commonName: string) => users.withCertificate(commonName)?.name;
  t.match(users.withCertificate("ada"), { name: "ada", revoked: true }, "no pattern lets in who is revoked by name");
  t.equal(name("bob"), "fleet:bob");
  t.equal(name(""), "fleet:");
  const patterns = (certificate: string, commonName: string) =>
    createUsers([{ name: "u", certificate, priority: 1 }]).withCertificate(commonName) !== undefined;
  for (const [pattern, yes, no] of [
    ["pump-*-east", "pump-1-east", "pump-east"],
    ["a*a", "aa", "a"],
    ["*ab*ab", "abab", "aab"],
    ["a*b*c", "axbxc", "axcxb"],
    ["node.1", "node.1", "node-1"],
  ] as const) {
    t.equal(patterns(pattern, yes), true, `${pattern} ${yes}`);
    t.equal(patterns(pattern, no), false, `${pattern} ${no}`);
  }
  t.end();
});

t.test("users are replaced as a whole, those of the configuration stay", (t) => {
  const users = createUsers([{ name: "ada", tokenSha256: sha256("one"), priority: 50 }]);
  const first = users.revision;
  users.replace([{ name: "bob", tokenSha256: sha256("two"), priority: 50, allow: ["lamp.*"], perSecond: 5 }]);
  t.not(users.revision, first);
  t.equal(who(users, "two"), "bob");
  t.match(users.withToken(undefined, tokenDigest("two")), { perSecond: 5, revoked: false });
  t.equal(users.withToken(undefined, tokenDigest("two"))?.permits?.allows("function", "lamp.on"), true);
  const second = users.revision;
  t.throws(() => users.replace([{ name: "ada", tokenSha256: sha256("x"), priority: 255 }]), {
    code: "ARGUMENT",
    message: "two users are called ada; give each a name of its own",
  });
  t.equal(users.revision, second, "nothing changed");
  users.replace([]);
  t.equal(who(users, "two"), undefined);
  t.equal(who(users, "one"), "ada");
  t.end();
});

t.test("a users' file is read whenever it changes, and a broken one changes nothing", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "virgo-users-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "users.yaml");
  const clock = createFakeClock();
  const log = createFakeLog();
  const audit = createRecorder();
  const users = createUsers([]);
  /** Looks at the file a few times. */
  const look = async (): Promise<void> => {
    for (let i = 0; i < 4; i++) {
      // The file system answers in its own time; then the next look is due.
      while (clock.pending() === 0) await settled();
      await clock.advance(500);
    }
  };
  const stop = followUsersFile({ file, readUsers: () => readUsersFile(file), users, clock, log, audit });
  t.match(log.lines, [/^error auth\.usersFile .*users\.yaml cannot be read: ENOENT.*; the users read before stay$/]);
  await look();
  writeFileSync(file, `- { name: ada, tokenSha256: ${sha256("one")} }\n- { name: bob, tokenSha256: ${sha256("two")} }\n`);
  await look();
  t.equal(who(users, "one"), "ada", "it may come later");
  writeFileSync(`${file}.new`, `- { name: ada, tokenSha256: ${sha256("one")}, revoked: true }\n`);
  renameSync(`${file}.new`, file);
  await look();
  t.match(users.withToken(undefined, tokenDigest("one")), { revoked: true });
  t.equal(who(users, "two"), undefined);
  const revision = users.revision;
  for (const [broken, reason] of [
    ["", /users\.yaml:1:1: this is no list of users; write - \{ name: …, tokenSha256: … \}, or \[\] for nobody/],
    ["- { name: ada, tokenSha256: 12 }\n", /users\.yaml:1:29: /],
    ["- { name: ada\n", /users\.yaml:\d+:\d+: /],
    [
      `- { name: ada, tokenSha256: ${sha256("one")} }\n- { name: ada, certificate: x }\n`,
      /users\.yaml:2:11: there is another user called ada/,
    ],
    [`- { name: ada, certificate: x, allow: ["var:x"] }\n`, /users\.yaml:1:40: .*there are no permits for var/],
  ] as const) {
    writeFileSync(file, broken);
    await look();
    t.match(log.lines.at(-1), reason);
    t.equal(users.revision, revision, "nothing changed");
  }
  unlinkSync(file);
  await look();
  t.equal(users.revision, revision, "a file that is gone revokes nobody and lets nobody in");
  writeFileSync(file, "[]\n");
  await look();
  t.equal(users.count, 0);
  stop();
  t.equal(clock.pending(), 0);
  t.strictSame(
    audit.entries.filter((entry) => !entry.includes("not taken")),
    [
      "authenticate  ada added by auth.usersFile",
      "authenticate  bob added by auth.usersFile",
      "authenticate  ada revoked by auth.usersFile",
      "authenticate  bob removed by auth.usersFile",
      "authenticate  ada removed by auth.usersFile",
    ],
  );
  t.equal(audit.entries.filter((entry) => entry.includes("not taken")).length, 6);
  t.notMatch(log.lines.join(), new RegExp(sha256("one")));
});
