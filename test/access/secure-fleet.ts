import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { promisify } from "node:util";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import type { Test } from "tap";

import { createAuthority } from "../../agent/access/authority.ts";
import { createGuard } from "../../agent/access/guard.ts";
import { authOptionsSchema, tlsOptionsSchema } from "../../agent/access/options.ts";
import { openTls } from "../../agent/access/tls.ts";
import { createUsers } from "../../agent/access/users.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { limitsSchema } from "../../agent/contract/limits.ts";
import { createConversations } from "../../agent/conversations.ts";
import { startListener } from "../../agent/listener.ts";
import { createRouter } from "../../agent/router.ts";
import { createEchoService } from "../helpers/echo-listener.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { createRecorder } from "../helpers/recorder.ts";
import type { Authority } from "../../agent/access/authority.ts";
import type { AuthOptions, TlsOptions } from "../../agent/access/options.ts";
import type { Tls } from "../../agent/access/tls.ts";
import type { UserEntry, Users } from "../../agent/access/users.ts";
import type { Clock } from "../../agent/contract/clock.ts";
import type { Limits } from "../../agent/contract/limits.ts";
import type { Listener } from "../../agent/listener.ts";
import type { EchoService } from "../helpers/echo-listener.ts";
import type { FakeLog } from "../helpers/fake-log.ts";
import type { Recorder } from "../helpers/recorder.ts";

/** What openssl prints; rejects when it fails. */
export async function openssl(args: readonly string[]): Promise<string> {
  return (await promisify(execFile)("openssl", args)).stdout;
}

/** An authority with a node called garage and a client called ada. */
export async function makeAuthority(folder: string, clock: Clock = createSystemClock()): Promise<Authority> {
  const authority = createAuthority({ folder, clock });
  await authority.init("test-authority", 3650);
  await authority.issue("node", "garage", 30, ["127.0.0.1", "localhost"]);
  await authority.issue("client", "ada", 30, []);
  return authority;
}

export interface SecureOptions {
  /** The authority's folder. */
  readonly folder: string;
  readonly users?: readonly UserEntry[];
  readonly tls?: Partial<TlsOptions>;
  readonly auth?: Partial<AuthOptions>;
  readonly limits?: Partial<Limits>;
  readonly clock?: Clock;
}

export interface SecureListener extends Listener {
  readonly service: EchoService;
  readonly audit: Recorder;
  readonly log: FakeLog;
  readonly users: Users;
  readonly tls: Tls;
  /** Sockets that `connectSecure` opened; destroyed when the test ends. */
  readonly clients: TLSSocket[];
}

/** An echo service behind TLS, with the authority's node certificate, its clients and its revocation list; closed when the test ends. */
export async function startSecureListener(t: Test, options: SecureOptions): Promise<SecureListener> {
  const { folder, clock = createSystemClock() } = options;
  const service = createEchoService();
  const audit = createRecorder();
  const log = createFakeLog();
  const users = createUsers(options.users ?? [{ name: "ada", certificate: "ada", priority: 50 }]);
  const limits = limitsSchema.parse(options.limits ?? {});
  const tls = openTls({
    ...tlsOptionsSchema.parse({
      certificate: join(folder, "garage.crt"),
      key: join(folder, "garage.key"),
      ca: join(folder, "ca.crt"),
      revoked: join(folder, "crl.pem"),
      ...options.tls,
    }),
    clock,
    log,
  });
  const listener = await startListener({
    name: "secure",
    address: { host: "127.0.0.1", port: 0 },
    limits,
    clock,
    log,
    tls,
    audit,
    openConversation: createConversations({
      limits,
      node: "garage",
      version: "0.0.0",
      users,
      guard: createGuard({ ...authOptionsSchema.parse({ ...options.auth }), clock, audit }),
      router: createRouter([service]),
      info: () => ({}),
    }),
  });
  const clients: TLSSocket[] = [];
  t.teardown(async () => {
    for (const client of clients) client.destroy();
    tls.close();
    await listener.close();
  });
  return { ...listener, service, audit, log, users, tls, clients };
}

export interface SecureClient {
  readonly socket: TLSSocket;
  send(text: string): void;
  end(): void;
  /** All that comes, at least that much of it or until the end. */
  take(bytes: number): Promise<string>;
  rest(): Promise<string>;
}

/** Connects as `name` of the authority in `folder`, or without a certificate. */
export async function connectSecure(
  listener: { readonly address: string; readonly clients: TLSSocket[] },
  folder: string,
  name: string | undefined,
  options: ConnectionOptions = {},
): Promise<SecureClient> {
  const read = (file: string): Buffer => readFileSync(join(folder, file));
  const socket = connect({
    host: "127.0.0.1",
    port: Number(listener.address.split(":").at(-1)),
    servername: "garage",
    ca: read("ca.crt"),
    allowHalfOpen: true,
    ...(name !== undefined && { cert: read(`${name}.crt`), key: read(`${name}.key`) }),
    ...options,
  } as ConnectionOptions);
  listener.clients.push(socket);
  let received = "";
  let over = false;
  let wake: (() => void) | undefined;
  const changed = (): void => wake?.();
  socket.on("data", (chunk: Buffer) => {
    received += chunk.toString("latin1");
    changed();
  });
  for (const event of ["end", "close", "error"]) {
    socket.on(event, () => {
      over = true;
      changed();
    });
  }
  await new Promise<void>((resolve, reject) => {
    socket.once("secureConnect", resolve);
    socket.once("error", reject);
  });

  async function until(done: () => boolean): Promise<string> {
    while (!done() && !over) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    const taken = received;
    received = "";
    return taken;
  }

  return {
    socket,
    send: (text) => void socket.write(text, "latin1"),
    end: () => void socket.end(),
    take: (bytes) => until(() => received.length >= bytes),
    rest: () => until(() => false),
  };
}
