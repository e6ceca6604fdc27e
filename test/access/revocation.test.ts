import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import fc from "fast-check";
import t from "tap";

import { derAt, derTimeMs } from "../../agent/access/der.ts";
import { certificateKey, readRevocations } from "../../agent/access/revocation.ts";
import { missing } from "../helpers/tools.ts";
import { makeAuthority } from "./secure-fleet.ts";

const skip = missing("openssl", "openssl");

t.test("revocation lists name certificates as the certificates do", { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "virgo-crl-"));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const authority = await makeAuthority(folder);
  const list = (): string => readFileSync(join(folder, "crl.pem"), "utf8");
  const keyOf = (name: string): string => certificateKey(new X509Certificate(readFileSync(join(folder, name))).raw);
  t.equal(readRevocations(list()).keys.size, 0);
  t.ok(readRevocations(list()).untilMs > Date.now() + 19 * 365 * 86_400_000);
  const [ada, garage] = [keyOf("ada.crt"), keyOf("garage.crt")];
  t.not(ada, garage);
  await authority.revoke("ada");
  t.strictSame([...readRevocations(list()).keys], [ada]);
  await authority.revoke("garage");
  t.strictSame([...readRevocations(list()).keys].sort(), [ada, garage].sort());

  const other = join(folder, "other");
  await makeAuthority(other);
  const both = readRevocations(`${list()}${readFileSync(join(other, "crl.pem"), "utf8")}`);
  t.equal(both.keys.size, 2, "one file may hold the lists of several authorities");
  t.equal(both.keys.has(certificateKey(new X509Certificate(readFileSync(join(other, "ada.crt"))).raw)), false);
  const text = execFileSync("openssl", ["crl", "-in", join(folder, "crl.pem"), "-noout", "-nextupdate"], { encoding: "utf8" });
  t.equal(readRevocations(list()).untilMs, Date.parse(text.replace("nextUpdate=", "")));

  const der = new X509Certificate(readFileSync(join(other, "ada.crt"))).raw;
  for (let cut = 0; cut < der.length; cut++) t.throws(() => certificateKey(der.subarray(0, cut)), RangeError, `cut at ${cut}`);
  const crl = Buffer.from(list().replaceAll(/-----[^-]+-----/g, ""), "base64");
  const pemOf = (bytes: Buffer): string => `-----BEGIN X509 CRL-----\n${bytes.toString("base64")}\n-----END X509 CRL-----\n`;
  t.equal(readRevocations(pemOf(crl)).keys.size, 2);
  for (let cut = 0; cut < crl.length; cut++) t.throws(() => readRevocations(pemOf(crl.subarray(0, cut))), RangeError, `cut at ${cut}`);
});

t.test("what is no list, or no certificate, is a RangeError, whatever it is", (t) => {
  t.throws(() => readRevocations(""), /there is no X509 CRL in it/);
  const harmless = (work: () => unknown): boolean => {
    try {
      work();
      return true;
    } catch (error) {
      return error instanceof RangeError;
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => harmless(() => certificateKey(Buffer.from(bytes)))));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const nested = Buffer.from([0x30, bytes.length + 2, 0x30, bytes.length, ...bytes]);
      return harmless(() => readRevocations(`-----BEGIN X509 CRL-----\n${nested.toString("base64")}\n-----END X509 CRL-----\n`));
    }),
  );
  t.end();
});

t.test("times of both forms are read", (t) => {
  const at = (tag: number, text: string): number => derTimeMs(derAt(Buffer.from([tag, text.length, ...Buffer.from(text)])));
  t.equal(at(0x17, "261122120000Z"), Date.UTC(2026, 10, 22, 12));
  t.equal(at(0x17, "991231235959Z"), Date.UTC(1999, 11, 31, 23, 59, 59));
  t.equal(at(0x18, "20501122120000Z"), Date.UTC(2050, 10, 22, 12));
  t.end();
});
