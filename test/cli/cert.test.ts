import { X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t from "tap";
import type { Test } from "tap";

import { createAuthority } from "../../agent/access/authority.ts";
import { certInitCommand, certIssueCommand, certListCommand, certRevokeCommand } from "../../agent/cli/cert.ts";
import { tokenCommand } from "../../agent/cli/token.ts";
import { tokenDigest } from "../../agent/access/users.ts";
import { loadConfig } from "../../agent/config/load.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeIo } from "../helpers/fake-io.ts";
import { missing } from "../helpers/tools.ts";
import { gpio } from "../../drivers/gpio/index.ts";
import { openssl } from "../access/secure-fleet.ts";
import type { CliIo } from "../../agent/cli/io.ts";

const skip = missing("openssl", "openssl");

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), "virgo-cert-"));
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** What a command printed and ended with. */
async function ran(command: (io: CliIo) => Promise<number> | number): Promise<{ code: number; out: string; error: string }> {
  const io = createFakeIo();
  const code = await command(io);
  return { code, ...io.printed };
}

function mode(file: string): string {
  return (statSync(file).mode & 0o777).toString(8);
}

t.test("cert makes an authority, nodes and clients, whose certificates openssl verifies", { skip }, async (t) => {
  const dir = join(folderOf(t), "a folder", "ca");
  const init = await ran((io) => certInitCommand({ dir }, io));
  t.match(init, { code: 0, error: "" });
  t.match(init.out, /Whoever has .*ca\.key can let anybody in/);
  const node = await ran((io) => certIssueCommand("node", "garage", { dir, host: ["192.168.2.80", "garage.local", "fd00::1"] }, io));
  t.match(node, { code: 0, error: "" });
  const client = await ran((io) => certIssueCommand("client", "ada", { dir, days: 10 }, io));
  t.match(client, { code: 0, error: "" });
  const at = (file: string): string => join(dir, file);
  for (const name of ["garage", "ada"]) {
    t.match(
      await openssl(["verify", "-x509_strict", "-CAfile", at("ca.crt"), "-crl_check", "-CRLfile", at("crl.pem"), at(`${name}.crt`)]),
      /: OK\n$/,
    );
  }
  const garage = new X509Certificate(readFileSync(at("garage.crt")));
  t.equal(garage.subjectAltName, "DNS:garage, IP Address:192.168.2.80, DNS:garage.local, IP Address:FD00:0:0:0:0:0:0:1");
  t.equal(garage.subject, "CN=garage");
  t.strictSame(garage.keyUsage, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"], "both ends of a connection");
  const ada = new X509Certificate(readFileSync(at("ada.crt")));
  t.strictSame(ada.keyUsage, ["1.3.6.1.5.5.7.3.2"], "for clients only");
  t.equal(ada.subjectAltName, "URI:urn:virgo:client:ada");
  t.equal(ada.publicKey.asymmetricKeyDetails?.namedCurve, "prime256v1");
  t.ok(Date.parse(ada.validFrom) < Date.now(), "valid from yesterday on");
  t.equal(Math.round((Date.parse(ada.validTo) - Date.now()) / 86_400_000), 10);
  t.equal(new X509Certificate(readFileSync(at("ca.crt"))).ca, true);
  for (const key of ["ca.key", "garage.key", "ada.key"]) t.equal(mode(at(key)), "600", key);
  for (const folder of [dir, at("authority")]) t.equal(mode(folder), "700", folder);
  for (const open of ["ca.crt", "garage.crt", "crl.pem"]) t.equal(mode(at(open)), "644", open);
  t.equal(existsSync(at("authority/openssl.cnf")), false, "nothing is left lying about");
});

t.test("the printed configuration is one", { skip }, async (t) => {
  const folder = folderOf(t);
  const dir = join(folder, "ca");
  await ran((io) => certInitCommand({ dir }, io));
  for (const kind of ["node", "client"] as const) {
    const { out } = await ran((io) => certIssueCommand(kind, kind === "node" ? "garage" : "ada", { dir }, io));
    const lines = out.split("\n");
    const from = lines.findIndex((line) => /^(listen|auth):/.test(line));
    const yaml = lines.slice(from).filter((line) => !/^ {6}To look/.test(line));
    const file = join(folder, `${kind}.yaml`);
    writeFileSync(file, `board: sim\n${yaml.join("\n")}`);
    const { config, problems } = loadConfig(file, [gpio]);
    t.strictSame(problems, [], kind);
    t.equal(config?.auth.users[0]?.certificate, "ada");
  }
});

t.test("cert never writes over anything", { skip }, async (t) => {
  const dir = join(folderOf(t), "ca");
  await ran((io) => certInitCommand({ dir }, io));
  await ran((io) => certIssueCommand("client", "ada", { dir }, io));
  const before = ["ca.key", "ca.crt", "ada.key", "ada.crt"].map((file) => readFileSync(join(dir, file), "utf8"));
  t.match(await ran((io) => certInitCommand({ dir }, io)), {
    code: 1,
    out: "",
    error: /^IN_USE .* holds an authority already; it is left as it is\n$/,
  });
  for (const kind of ["client", "node"] as const) {
    t.match(await ran((io) => certIssueCommand(kind, "ada", { dir }, io)), {
      code: 1,
      error: "IN_USE ada has a certificate already; virgo cert revoke ada makes room for another\n",
    });
  }
  writeFileSync(join(dir, "file"), "");
  t.match(await ran((io) => certInitCommand({ dir: join(dir, "file", "ca") }, io)), { code: 1, error: /^IO ENOTDIR/ });
  symlinkSync(join(dir, "elsewhere"), join(dir, "link.key"));
  t.match(await ran((io) => certIssueCommand("client", "link", { dir }, io)), { code: 1 });
  t.equal(existsSync(join(dir, "elsewhere")), false, "not through a link either");
  t.strictSame(
    ["ca.key", "ca.crt", "ada.key", "ada.crt"].map((file) => readFileSync(join(dir, file), "utf8")),
    before,
  );
});

t.test("a revoked certificate is on the list, its files are put away, and its name is free again", { skip }, async (t) => {
  const dir = join(folderOf(t), "ca");
  await ran((io) => certInitCommand({ dir }, io));
  await ran((io) => certIssueCommand("client", "ada", { dir }, io));
  const serial = new X509Certificate(readFileSync(join(dir, "ada.crt"))).serialNumber;
  const revoked = await ran((io) => certRevokeCommand("ada", { dir }, io));
  t.match(revoked, { code: 0, error: "", out: /copy .*crl\.pem to every board/ });
  t.match(await openssl(["crl", "-in", join(dir, "crl.pem"), "-noout", "-text"]), new RegExp(`Serial Number: ${serial}`));
  t.equal(existsSync(join(dir, "ada.key")), false);
  t.equal(mode(join(dir, "revoked", `ada-${serial}.key`)), "600");
  t.match(await ran((io) => certIssueCommand("client", "ada", { dir }, io)), { code: 0 });
  t.match(await ran((io) => certRevokeCommand("bob", { dir }, io)), { code: 1, error: /^UNKNOWN there is no certificate of bob in / });
});

t.test("cert list shows who there is, and how they are", { skip }, async (t) => {
  const dir = join(folderOf(t), "ca");
  await ran((io) => certInitCommand({ dir }, io));
  await ran((io) => certIssueCommand("node", "garage", { dir, host: ["192.168.2.80"] }, io));
  await ran((io) => certIssueCommand("client", "ada", { dir }, io));
  await ran((io) => certRevokeCommand("ada", { dir }, io));
  const past = createFakeClock();
  await createAuthority({ folder: dir, clock: past }).issue("client", "old", 5, []);
  const { out } = await ran((io) => certListCommand({ dir }, io));
  const rows = out
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {2,}/));
  t.strictSame(rows[0], ["NAME", "KIND", "STATE", "UNTIL", "SERIAL", "FOR"]);
  t.match(rows[1]?.slice(0, 3), [/^virgo-authority-[0-9a-f]{6}$/, "authority", "valid"]);
  t.strictSame(
    rows.slice(2).map((row) => row.slice(0, 3)),
    [
      ["garage", "node", "valid"],
      ["ada", "client", "revoked"],
      ["old", "client", "expired"],
    ],
  );
  t.equal(rows[2]?.[5], "DNS:garage, IP Address:192.168.2.80");
  const json = JSON.parse((await ran((io) => certListCommand({ dir, json: true }, io))).out) as readonly unknown[];
  t.match(json[1], { name: "garage", kind: "node", state: "valid", until: /^\d{4}-.*Z$/, serial: /^[0-9A-F]{30,40}$/ });
});

t.test("names and hosts that could mean something else are refused, before anything is made", { skip }, async (t) => {
  const dir = join(folderOf(t), "ca");
  t.match(await ran((io) => certIssueCommand("node", "garage", { dir }, io)), {
    code: 1,
    error: /^UNKNOWN there is no authority in .*; virgo cert init --dir .* makes one\n$/,
  });
  t.match(await ran((io) => certListCommand({ dir }, io)), { code: 1, error: /^UNKNOWN there is no authority/ });
  await ran((io) => certInitCommand({ dir }, io));
  for (const name of ["../x", "a/b", "", "a b", "-x", "a\nb", "a,b", "x".repeat(65), "ca", "crl", ".hidden"]) {
    t.match(await ran((io) => certIssueCommand("client", name, { dir }, io)), { code: 2, error: /^ARGUMENT / }, JSON.stringify(name));
  }
  for (const host of ["a,DNS:evil", "a b", "", "a\nb", "[::1]", "a;b"]) {
    t.match(
      await ran((io) => certIssueCommand("node", "garage", { dir, host: [host] }, io)),
      { code: 2, error: /is neither a host name nor an address/ },
      host,
    );
  }
  for (const days of [0, 40_000])
    t.match(await ran((io) => certIssueCommand("node", "garage", { dir, days }, io)), { code: 2, error: /^ARGUMENT --days is / });
  t.equal(existsSync(join(dir, "garage.key")), false);
});

t.test("without openssl, or with an old one, it says what to do, and leaves nothing behind", async (t) => {
  const folder = folderOf(t);
  const clock = createFakeClock();
  const authority = createAuthority({ folder: join(folder, "ca"), clock, openssl: join(folder, "none") });
  await t.rejects(authority.init("x", 10), { code: "NOT_READY", message: /none is not installed: sudo apt-get install openssl$/ });
  const old = join(folder, "old");
  writeFileSync(old, '#!/bin/sh\necho "OpenSSL 1.1.1w  11 Sep 2023"\n', { mode: 0o755 });
  await t.rejects(createAuthority({ folder: join(folder, "ca"), clock, openssl: old }).init("x", 10), {
    code: "NOT_READY",
    message: "OpenSSL 3 or newer is needed, not OpenSSL 1.1.1w  11 Sep 2023",
  });
  t.equal(existsSync(join(folder, "ca")), false);
  const failing = join(folder, "failing");
  writeFileSync(failing, '#!/bin/sh\n[ "$1" = version ] && echo "OpenSSL 3.0.0" && exit 0\necho "it is broken" >&2\nexit 1\n', {
    mode: 0o755,
  });
  const half = createAuthority({ folder: join(folder, "half"), clock, openssl: failing });
  await t.rejects(half.init("x", 10), { code: "IO", message: "openssl req failed: it is broken" });
  t.equal(existsSync(join(folder, "half", "ca.key")), false);
});

t.test("token prints a fresh token and what the configuration keeps of it", async (t) => {
  const { code, out, error } = await ran((io) => tokenCommand("ada", {}, io));
  t.equal(code, 0);
  t.equal(error, "");
  const token = /^token: +([A-Za-z0-9_-]{43})$/m.exec(out)?.[1] ?? "";
  t.match(out, `- { name: "ada", tokenSha256: ${tokenDigest(token).toString("hex")} }`);
  const json = JSON.parse((await ran((io) => tokenCommand(undefined, { json: true }, io))).out) as { token: string; tokenSha256: string };
  t.equal(json.tokenSha256, tokenDigest(json.token).toString("hex"));
  t.not(json.token, token, "another one each time");
  t.throws(() => tokenCommand('a"b', {}, createFakeIo()), { code: "ARGUMENT" });
});
