import { randomBytes } from "node:crypto";
import { resolve } from "node:path";

import { createAuthority } from "../access/authority.ts";
import { AgentError, toAgentError } from "../contract/errors.ts";
import { EXIT } from "./exit.ts";
import { jsonText, tableText } from "./print.ts";
import type { Authority } from "../access/authority.ts";
import type { CliIo } from "./io.ts";

export interface CertOptions {
  /** The authority's folder. */
  readonly dir?: string;
  /** Days that a certificate is valid. */
  readonly days?: number;
  /** Further names and addresses of a node. */
  readonly host?: readonly string[];
  readonly json?: boolean;
}

/** Where the authority is when nobody says so: where the command runs. */
export const DEFAULT_AUTHORITY = "virgo-authority";

/** An authority is made once for a fleet; its end would be the end of all its certificates. */
const AUTHORITY_DAYS = 3650;

/** A board that nobody looks after should not fall silent within two years; whoever has left the fleet is revoked, not waited for. */
const CERTIFICATE_DAYS = 825;

/** Certificates say so in whole seconds, and openssl in four digits of a year. */
const MAX_DAYS = 36_500;

/** `virgo cert init`: makes the authority of a fleet. */
export async function certInitCommand(options: CertOptions, io: CliIo): Promise<number> {
  return attempt(io, async () => {
    const folder = folderOf(options);
    await authorityAt(folder, io).init(`virgo-authority-${randomBytes(3).toString("hex")}`, daysOf(options, AUTHORITY_DAYS));
    io.out(`The authority is in ${folder}. Whoever has ${folder}/ca.key can let anybody in: keep that folder off the boards, and a copy of it safe.

Next: virgo cert node NAME --host ADDRESS   for every board
      virgo cert client NAME                for everybody who may use them
`);
  });
}

/** `virgo cert node NAME`, `virgo cert client NAME`: makes a key and a certificate. */
export async function certIssueCommand(kind: "node" | "client", name: string, options: CertOptions, io: CliIo): Promise<number> {
  return attempt(io, async () => {
    const folder = folderOf(options);
    const { certificate, key } = await authorityAt(folder, io).issue(kind, name, daysOf(options, CERTIFICATE_DAYS), options.host ?? []);
    const authority = resolve(folder, "ca.crt");
    if (options.json === true) io.out(jsonText({ name, kind, certificate, key, ca: authority, revoked: resolve(folder, "crl.pem") }));
    else io.out(kind === "node" ? nodeSteps(name, folder) : clientSteps(name, folder));
  });
}

/** `virgo cert revoke NAME` */
export async function certRevokeCommand(name: string, options: CertOptions, io: CliIo): Promise<number> {
  return attempt(io, async () => {
    const folder = folderOf(options);
    await authorityAt(folder, io).revoke(name);
    io.out(`${name} is revoked; its files are in ${folder}/revoked.

Next: copy ${folder}/crl.pem to every board, over the file that tls.revoked names. The agents there read it again by themselves, close the connections
      of ${name}, and let it in no more.
`);
  });
}

/** `virgo cert list` */
export async function certListCommand(options: CertOptions, io: CliIo): Promise<number> {
  return attempt(io, async () => {
    const issued = await authorityAt(folderOf(options), io).list();
    if (options.json === true) {
      io.out(jsonText(issued.map(({ untilMs, ...rest }) => ({ ...rest, until: new Date(untilMs).toISOString() }))));
      return;
    }
    const rows = issued.map(({ name, kind, state, untilMs, altNames, serial }) => [
      name,
      kind,
      state,
      new Date(untilMs).toISOString().slice(0, 10),
      serial.slice(0, 16),
      altNames,
    ]);
    io.out(tableText(["NAME", "KIND", "STATE", "UNTIL", "SERIAL", "FOR"], rows));
  });
}

async function attempt(io: CliIo, work: () => Promise<void>): Promise<number> {
  try {
    await work();
    return EXIT.ok;
  } catch (thrown) {
    // A folder that cannot be written to, say.
    const error = isSystemError(thrown) ? toAgentError(thrown) : thrown;
    if (!(error instanceof AgentError)) throw thrown;
    io.error(`${error.code} ${error.message}\n`);
    return error.code === "ARGUMENT" ? EXIT.usage : EXIT.failure;
  }
}

function isSystemError(thrown: unknown): boolean {
  return thrown instanceof Error && "syscall" in thrown;
}

function folderOf({ dir = DEFAULT_AUTHORITY }: CertOptions): string {
  return dir;
}

function authorityAt(folder: string, { clock }: CliIo): Authority {
  return createAuthority({ folder, clock });
}

function daysOf({ days }: CertOptions, otherwise: number): number {
  if (days === undefined) return otherwise;
  if (days >= 1 && days <= MAX_DAYS) return days;
  throw new AgentError("ARGUMENT", `--days is ${days}; 1 to ${MAX_DAYS} is expected`);
}

function nodeSteps(name: string, folder: string): string {
  return `${folder}/${name}.crt and ${folder}/${name}.key are made.

Next: copy ${name}.crt, ${name}.key, ca.crt and crl.pem to the board, for example to /etc/virgo (${name}.key with mode 600, owned by the
      agent's user), and write into its configuration:

listen: { secure: 0.0.0.0:6391 }
tls:
  certificate: /etc/virgo/${name}.crt
  key: /etc/virgo/${name}.key
  ca: /etc/virgo/ca.crt
  revoked: /etc/virgo/crl.pem
auth:
  users:
    - { name: ada, certificate: ada }          # one person, with a certificate by virgo cert client ada
    - { name: fleet, certificate: "*" }        # or everybody whom this authority knows
`;
}

function clientSteps(name: string, folder: string): string {
  return `${folder}/${name}.crt and ${folder}/${name}.key are made.

Next: give ${name} these two files and ca.crt, and write into the configuration of every node that ${name} may use:

auth:
  users:
    - { name: ${name}, certificate: ${name} }   # allow: [lamp.*, "vars:battery_*"] limits what it may touch

      To look: openssl s_client -connect BOARD:6391 -tls1_3 -quiet -CAfile ca.crt -cert ${name}.crt -key ${name}.key
`;
}
