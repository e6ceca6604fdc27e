import { execFile } from "node:child_process";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join, resolve } from "node:path";

import { AgentError, messageOf } from "../contract/errors.ts";
import type { Clock } from "../contract/clock.ts";

/** A private authority in one folder: `ca.crt`, `ca.key`, `crl.pem`, and `NAME.crt`, `NAME.key` of everybody it knows. */
export interface Authority {
  /** Makes the folder, and the authority's own key and certificate. Rejects with IN_USE when there is one already. */
  init(name: string, days: number): Promise<void>;
  /**
   * Makes a key and a certificate of it. A node's is for both ends of a connection and carries its hosts; a client's is for clients only.
   * Rejects with IN_USE when there is one of that name.
   */
  issue(kind: "node" | "client", name: string, days: number, hosts: readonly string[]): Promise<IssuedFiles>;
  /** Puts the certificate on the revocation list and its files away. Rejects with UNKNOWN when there is none of that name. */
  revoke(name: string): Promise<void>;
  /** Every certificate there ever was, oldest first. */
  list(): Promise<readonly Issued[]>;
}

export interface IssuedFiles {
  readonly certificate: string;
  readonly key: string;
}

export interface Issued {
  readonly name: string;
  readonly kind: "authority" | "node" | "client";
  readonly state: "valid" | "revoked" | "expired";
  readonly untilMs: number;
  readonly serial: string;
  readonly altNames: string;
}

export interface AuthorityOptions {
  readonly folder: string;
  readonly clock: Clock;
  /** The program that signs. */
  readonly openssl?: string;
}

const DAY_MS = 86_400_000;

/** Boards without a battery for their clock start in the past: certificates are valid from a day before they were made. */
const BACKDATED_MS = DAY_MS;

/** Once a revocation list has expired, nobody is let in any more. It is carried by hand, so it lasts for twenty years. */
const CRL_DAYS = 7300;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const HOST_NAME = /^[A-Za-z0-9*_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?$/;

/** Names that would be taken for files of the authority. */
const TAKEN: ReadonlySet<string> = new Set(["ca", "crl"]);

const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";

/** What openssl keeps of what it signed; all paths are from the authority's folder on. */
const CONFIG = `[ca]
default_ca = authority
[authority]
database = authority/index.txt
new_certs_dir = authority/issued
crlnumber = authority/crlnumber
certificate = ca.crt
private_key = ca.key
default_md = sha256
policy = policy
rand_serial = yes
crl_extensions = list
[policy]
commonName = supplied
[list]
authorityKeyIdentifier = keyid
[req]
distinguished_name = subject
string_mask = utf8only
[subject]
`;

const AUTHORITY_EXTENSIONS = `basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
`;

interface Signing {
  /** The files' name: NAME.key is there, NAME.crt is made. */
  readonly file: string;
  readonly commonName: string;
  readonly extensions: string;
  readonly days: number;
  /** The authority signs itself. */
  readonly self?: boolean;
}

/** Keys are made here; the openssl program, which every Raspberry Pi OS has, signs and keeps the books in its usual form. */
export function createAuthority({ folder, clock, openssl = "openssl" }: AuthorityOptions): Authority {
  const at = (...names: string[]): string => join(folder, ...names);

  function run(...args: string[]): Promise<string> {
    return new Promise((done, fail) => {
      execFile(openssl, args, { timeout: 60_000, cwd: existsSync(folder) ? folder : "." }, (error, stdout, stderr) => {
        if (error === null) done(stdout);
        else if (error.code === "ENOENT") fail(new AgentError("NOT_READY", `${openssl} is not installed: sudo apt-get install openssl`));
        else fail(new AgentError("IO", `openssl ${args[0] ?? ""} failed: ${reasonIn(stderr) ?? messageOf(error)}`, { cause: error }));
      });
    });
  }

  /** Runs with a configuration that is there for as long. */
  async function withConfig<T>(extensions: string, work: (config: string) => Promise<T>): Promise<T> {
    const config = join("authority", "openssl.cnf");
    await writeFile(at(config), `${CONFIG}[extensions]\n${extensions}`, { mode: 0o600 });
    try {
      return await work(config);
    } finally {
      await rm(at(config), { force: true });
    }
  }

  async function mustBeNew(): Promise<void> {
    const version = await run("version");
    const major = Number(/^OpenSSL (\d+)/.exec(version)?.[1] ?? 0);
    if (major < 3) throw new AgentError("NOT_READY", `OpenSSL 3 or newer is needed, not ${version.trim()}`);
  }

  function mustBeThere(): void {
    if (existsSync(at("ca.key"))) return;
    throw new AgentError("UNKNOWN", `there is no authority in ${folder}; virgo cert init --dir ${folder} makes one`);
  }

  /** Readable by its owner alone from the moment it is there; what is there already is never written over. */
  async function makeKey(file: string): Promise<void> {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    try {
      await writeFile(at(`${file}.key`), pem, { mode: 0o600, flag: "wx" });
    } catch (error) {
      throw new AgentError("IO", `the key ${at(`${file}.key`)} cannot be written: ${messageOf(error)}`, { cause: error });
    }
  }

  async function sign({ file, commonName, extensions, days, self = false }: Signing): Promise<void> {
    const nowMs = clock.wallMs();
    const request = join("authority", "request.csr");
    await makeKey(file);
    try {
      await withConfig(extensions, async (config) => {
        await run("req", "-new", "-config", config, "-key", `${file}.key`, "-subj", `/CN=${commonName}`, "-out", request);
        await run(
          ...["ca", "-batch", "-notext", "-config", config, "-extensions", "extensions", ...(self ? ["-selfsign"] : [])],
          ...["-startdate", timeText(nowMs - BACKDATED_MS), "-enddate", timeText(nowMs + days * DAY_MS)],
          ...["-in", request, "-out", `${file}.crt`],
        );
      });
      await chmod(at(`${file}.crt`), 0o644);
    } catch (error) {
      for (const ending of ["key", "crt"]) await rm(at(`${file}.${ending}`), { force: true });
      throw error;
    } finally {
      await rm(at(request), { force: true });
    }
  }

  async function writeRevocations(): Promise<void> {
    const nowMs = clock.wallMs();
    const times = ["-crl_lastupdate", timeText(nowMs - BACKDATED_MS), "-crl_nextupdate", timeText(nowMs + CRL_DAYS * DAY_MS)];
    await withConfig("", (config) => run("ca", "-gencrl", "-config", config, ...times, "-out", "crl.pem.new"));
    await chmod(at("crl.pem.new"), 0o644);
    await rename(at("crl.pem.new"), at("crl.pem"));
  }

  return {
    async init(name, days) {
      checkName(name);
      if (existsSync(at("ca.key")) || existsSync(at("authority"))) {
        throw new AgentError("IN_USE", `${folder} holds an authority already; it is left as it is`);
      }
      await mustBeNew();
      await mkdir(at("authority", "issued"), { recursive: true, mode: 0o700 });
      await chmod(folder, 0o700);
      await writeFile(at("authority", "index.txt"), "", { mode: 0o600 });
      await writeFile(at("authority", "index.txt.attr"), "unique_subject = yes\n", { mode: 0o600 });
      await writeFile(at("authority", "crlnumber"), "01\n", { mode: 0o600 });
      await sign({ file: "ca", commonName: name, extensions: AUTHORITY_EXTENSIONS, days, self: true });
      await writeRevocations();
    },
    async issue(kind, name, days, hosts) {
      checkName(name);
      hosts.forEach(checkHost);
      mustBeThere();
      if (existsSync(at(`${name}.crt`)) || existsSync(at(`${name}.key`))) {
        throw new AgentError("IN_USE", `${name} has a certificate already; virgo cert revoke ${name} makes room for another`);
      }
      await mustBeNew();
      await sign({ file: name, commonName: name, extensions: extensionsOf(kind, name, hosts), days });
      return { certificate: resolve(at(`${name}.crt`)), key: resolve(at(`${name}.key`)) };
    },
    async revoke(name) {
      checkName(name);
      mustBeThere();
      if (!existsSync(at(`${name}.crt`))) {
        throw new AgentError("UNKNOWN", `there is no certificate of ${name} in ${folder}; virgo cert list shows those there are`);
      }
      await mustBeNew();
      const { serialNumber } = new X509Certificate(await readFile(at(`${name}.crt`)));
      await withConfig("", (config) => run("ca", "-config", config, "-revoke", `${name}.crt`));
      await writeRevocations();
      await mkdir(at("revoked"), { recursive: true, mode: 0o700 });
      for (const ending of ["crt", "key"]) {
        if (existsSync(at(`${name}.${ending}`))) await rename(at(`${name}.${ending}`), at("revoked", `${name}-${serialNumber}.${ending}`));
      }
    },
    async list() {
      mustBeThere();
      const index = await readFile(at("authority", "index.txt"), "utf8");
      const rows = index.split("\n").filter((row) => row !== "");
      return Promise.all(rows.map((row) => issuedOf(row, at("authority", "issued"), clock.wallMs())));
    },
  };
}

function checkName(name: string): void {
  if (!NAME.test(name)) {
    throw new AgentError(
      "ARGUMENT",
      `${name} cannot be a name in a certificate; use 1 to 64 letters, digits, dots, - and _, a letter or digit first`,
    );
  }
  if (TAKEN.has(name)) throw new AgentError("ARGUMENT", `${name} is the name of the authority's own files; choose another`);
}

function checkHost(host: string): void {
  if (isIP(host) === 0 && !HOST_NAME.test(host)) throw new AgentError("ARGUMENT", `${host} is neither a host name nor an address`);
}

function extensionsOf(kind: "node" | "client", name: string, hosts: readonly string[]): string {
  const names = hosts.map((host) => `${isIP(host) === 0 ? "DNS" : "IP"}:${host}`);
  const altNames = kind === "node" ? [...new Set([`DNS:${name}`, ...names])] : [`URI:urn:virgo:client:${name}`];
  return `basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = ${kind === "node" ? "serverAuth, clientAuth" : "clientAuth"}
subjectAltName = ${altNames.join(", ")}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
`;
}

/** A row of openssl's index: state, end, time of revocation, serial number, file, subject, with tabs between them. */
async function issuedOf(row: string, folder: string, nowMs: number): Promise<Issued> {
  const [state, , , serial = ""] = row.split("\t");
  const certificate = new X509Certificate(await readFile(join(folder, `${serial}.pem`)));
  const untilMs = Date.parse(certificate.validTo);
  // Absent where a certificate says nothing of its use, whatever the types say.
  const uses = certificate.keyUsage as readonly string[] | undefined;
  const end = uses?.includes(SERVER_AUTH) === true ? "node" : "client";
  const kept = untilMs <= nowMs ? "expired" : "valid";
  return {
    name: certificate.subject.replace(/^CN=/, ""),
    kind: certificate.ca ? "authority" : end,
    state: state === "R" ? "revoked" : kept,
    untilMs,
    serial,
    altNames: certificate.subjectAltName ?? "",
  };
}

/** `20260131120000Z` */
function timeText(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 19).replaceAll(/\D/g, "")}Z`;
}

/** openssl says first what it does and last what went wrong. */
function reasonIn(output: string): string | undefined {
  return output
    .split("\n")
    .map((line) => line.trim())
    .findLast((line) => line !== "" && !line.startsWith("Using configuration") && !/^\*+$/.test(line));
}
