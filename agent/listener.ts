import { createServer, isIP } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

import { AgentError, messageOf } from "./contract/errors.ts";
import type { CertificateIdentity } from "./access/certificate.ts";
import type { Tls } from "./access/tls.ts";
import type { TlsGate } from "./access/tls-gate.ts";
import type { Audit } from "./contract/audit.ts";
import type { ErrorCode } from "./contract/errors.ts";
import type { Clock } from "./contract/clock.ts";
import type { Limits } from "./contract/limits.ts";
import type { Log } from "./contract/log.ts";
import { serveConnection, SWEEPS_PER_IDLE } from "./connection.ts";
import type { Connection, Surroundings } from "./connection.ts";
import { createLobby } from "./lobby.ts";
import type { Guest } from "./lobby.ts";
import { createStats } from "./listener-stats.ts";
import type { ListenerStats } from "./listener-stats.ts";
import { createInputBuffer } from "./socket-input.ts";
import { createTakingSink } from "./taking-sink.ts";
import type { Conversation, Link, Peer } from "./conversation.ts";

/** Where to listen: port 0 picks a free one; a path is a UNIX socket. */
export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

export interface ListenerOptions {
  /** `clone`, `gateway`: for errors and the log. */
  readonly name: string;
  readonly address: ListenAddress;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Log;
  /** TLS 1.3 in front of every conversation; without it bytes come as they are. */
  readonly tls?: Tls;
  /** Told of everybody who is refused before a conversation starts. */
  readonly audit?: Audit;
  /** Called with the first bytes of a connection. */
  readonly openConversation: (link: Link) => Conversation;
}

export interface Listener {
  readonly name: string;
  /** What was bound: `127.0.0.1:10000`, `[::1]:10000`, or the path. */
  readonly address: string;
  readonly stats: Readonly<ListenerStats>;
  /** Accepts nothing more, answers what is in progress for at most `CLOSE_MS`, then closes every connection. */
  close(): Promise<void>;
}

/** Time to answer what is in progress when the listener closes. */
const CLOSE_MS = 2000;

/** The same trouble is logged at most this often. */
const LOG_PERIOD_MS = 60_000;

/** Peers that are refused and told so at one time; more are closed without a word. */
const MAX_REFUSALS = 64;

/** A burst of clients waits here, as far as the kernel's somaxconn allows. */
const ACCEPT_QUEUE = 4096;

/** A peer whose machine vanished is noticed, also when nothing limits its silence. */
const KEEP_ALIVE_MS = 60_000;

/** `host:port` and `[v6]:port` as the configuration has them; anything that starts with / is a path. */
export function parseListenAddress(text: string): ListenAddress {
  return text.startsWith("/") ? { path: text } : parseHostPort(text);
}

/** `host:port` and `[v6]:port`. Throws ARGUMENT for anything else. */
export function parseHostPort(text: string): { readonly host: string; readonly port: number } {
  const colon = text.lastIndexOf(":");
  const port = Number(text.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new AgentError("ARGUMENT", `an address is host:port or [v6]:port, not ${text}`);
  }
  return { host: text.slice(0, colon).replace(/^\[(.*)\]$/, "$1"), port };
}

/**
 * Listens and serves. Rejects with IN_USE when the address is taken, DENIED when the port is privileged, ARGUMENT when the host is not one of this
 * machine, IO otherwise. Nothing a client does makes it throw.
 */
export async function startListener(options: ListenerOptions): Promise<Listener> {
  const { name, limits, clock, log, tls, audit } = options;
  const stats = createStats();
  const connections = new Set<Connection>();
  const notice = createNotice(log, clock);
  const peerAt = createPeers();
  let onEmpty: (() => void) | undefined;
  let lastId = 0;
  let refusals = 0;
  let handshakes = 0;
  // Loaded only where somebody listens for it.
  const gate = tls === undefined ? undefined : (await import("./access/tls-gate.ts")).createTlsGate(tls, clock);
  /** Connections whose certificates may be revoked while they last. */
  const certificates = new Map<Connection, Peer & { readonly certificate: CertificateIdentity }>();
  const stopFollowing = tls?.onChange(closeRevoked);

  const around: Surroundings = {
    limits,
    clock,
    log,
    stats,
    sink: createTakingSink(),
    input: createInputBuffer(),
    openConversation: options.openConversation,
    onGone(connection) {
      connections.delete(connection);
      certificates.delete(connection);
      countGone();
    },
    onRefused(peer) {
      stats.refused += 1;
      notice("classic", { listener: name, peer: peer.address }, "refused a peer that may not speak the classic dialect (classic.allow)");
    },
  };

  const lobby = createLobby(SWEEPS_PER_IDLE, {
    speaks: serve,
    leaves: (socket, guest) => {
      serve(socket, guest).finish();
    },
    expired() {
      stats.expired += 1;
    },
    gone: countGone,
    failed: countError,
  });

  function countGone(): void {
    stats.open -= 1;
    if (stats.open === 0) onEmpty?.();
  }

  function accept(socket: Socket): void {
    const peer = "path" in options.address ? LOCAL_PEER : peerAt(socket.remoteAddress);
    if (peer === undefined) {
      socket.destroy();
      return;
    }
    if (stats.open + handshakes >= limits.maxConnections) refuse(socket, peer);
    else if (gate === undefined) lobby.admit(socket, enter(peer));
    else shakeHands(gate, socket, peer);
  }

  function enter(peer: Peer): Guest {
    stats.accepted += 1;
    stats.open += 1;
    lastId += 1;
    return { peer, id: lastId };
  }

  function serve(socket: Socket, { peer, id }: Guest, first?: Buffer): Connection {
    const connection = serveConnection(socket, peer, id, around);
    connections.add(connection);
    if (first !== undefined) connection.take(first);
    return connection;
  }

  function serveSecure(socket: Socket, peer: Peer): void {
    const connection = serve(socket, enter(peer));
    if (peer.certificate !== undefined) certificates.set(connection, { ...peer, certificate: peer.certificate });
  }

  function shakeHands(by: TlsGate, socket: Socket, peer: Peer): void {
    handshakes += 1;
    socket.on("error", countError);
    by.open(socket, {
      admitted(secure, certificate) {
        handshakes -= 1;
        serveSecure(secure, { ...peer, secure: true, ...(certificate !== undefined && { certificate }) });
      },
      refused(reason, secure) {
        handshakes -= 1;
        stats.refused += 1;
        stats.errors.DENIED += 1;
        notice(reason, { listener: name, peer: peer.address }, `refused a peer on ${name}: ${reason}`);
        audit?.record("connect", peer.address, name, `refused: ${reason}`);
        if (secure !== undefined) sendAway(secure, `-DENIED ${peer.address} is refused: ${reason}\r\n`);
      },
    });
  }

  function closeRevoked(): void {
    for (const [connection, { address, certificate }] of certificates) {
      if (tls?.isRevoked(certificate.key) !== true) continue;
      audit?.record("connect", address, name, `closed: the certificate of ${certificate.commonName} was revoked`);
      connection.finish();
    }
  }

  function countError(): void {
    stats.socketErrors += 1;
  }

  function refuse(socket: Socket, peer: Peer): void {
    stats.refused += 1;
    stats.errors.LIMIT += 1;
    notice(
      "connections",
      { listener: name, peer: peer.address, maxConnections: limits.maxConnections },
      "refused a connection: too many are open",
    );
    // Over TLS it would take a handshake to say so.
    if (gate !== undefined) socket.destroy();
    else sendAway(socket, `-LIMIT ${stats.open} connections are open on ${name}; limits.maxConnections is ${limits.maxConnections}\r\n`);
  }

  /** Says why, and closes. */
  function sendAway(socket: Socket, text: string): void {
    socket.on("error", countError);
    if (refusals >= MAX_REFUSALS) {
      socket.destroy();
      return;
    }
    refusals += 1;
    const cancel = clock.after(limits.drainMs, () => socket.destroy());
    socket.on("close", () => {
      refusals -= 1;
      cancel();
    });
    // Read and dropped: a close with input unread would be a reset, and lose the text.
    socket.resume();
    socket.end(text);
  }

  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS }, accept);
  await listen(server, name, options.address);
  // From now on an error is one of accept: EMFILE, ECONNABORTED.
  server.on("error", (error) => {
    stats.socketErrors += 1;
    notice(messageOf(error), { listener: name, err: error }, "cannot accept a connection");
  });
  let cancelSweep = clock.after(limits.idleMs / SWEEPS_PER_IDLE, sweep);

  function sweep(): void {
    lobby.sweep();
    for (const connection of connections) connection.sweep();
    cancelSweep = clock.after(limits.idleMs / SWEEPS_PER_IDLE, sweep);
  }

  let closed: Promise<void> | undefined;

  async function close(): Promise<void> {
    cancelSweep();
    stopFollowing?.();
    gate?.close();
    const stopped = new Promise<void>((resolve) => {
      server.close(() => {
        resolve();
      });
    });
    if (stats.open > 0) {
      // Neither the clock's timers nor a connection that is not read keep the process alive until this is over.
      const awake = setInterval(() => undefined, CLOSE_MS);
      const cancel = clock.after(CLOSE_MS, () => {
        for (const connection of connections) connection.destroy();
      });
      await new Promise<void>((resolve) => {
        onEmpty = resolve;
        lobby.close();
        for (const connection of connections) connection.finish();
      });
      cancel();
      clearInterval(awake);
    }
    await stopped;
  }

  return {
    name,
    address: boundAddress(server),
    stats,
    close: () => (closed ??= close()),
  };
}

async function listen(server: Server, name: string, address: ListenAddress): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(listenError(name, address, error));
    });
    server.listen({ ...address, backlog: ACCEPT_QUEUE }, () => {
      server.removeAllListeners("error");
      resolve();
    });
  });
}

function listenError(name: string, address: ListenAddress, error: NodeJS.ErrnoException): AgentError {
  const where = "path" in address ? address.path : addressText(address.host, address.port);
  const reasons: Readonly<Record<string, readonly [ErrorCode, string]>> = {
    EADDRINUSE: ["IN_USE", "another process listens there; stop it, or choose another address under listen"],
    EACCES: ["DENIED", "it needs privileges; choose a port above 1023"],
    EADDRNOTAVAIL: ["ARGUMENT", "that is not an address of this machine"],
    ENOTFOUND: ["ARGUMENT", "the host name is not known"],
  };
  const [code, reason] = reasons[error.code ?? ""] ?? (["IO", messageOf(error)] as const);
  return new AgentError(code, `${name} cannot listen on ${where}: ${reason}`, { cause: error });
}

function boundAddress(server: Server): string {
  const bound = server.address() as AddressInfo | string;
  return typeof bound === "string" ? bound : addressText(bound.address, bound.port);
}

function addressText(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

const LOCAL_PEER: Peer = { address: "local", loopback: true };

/** What `networkPeer` answers; clients from one address, one after the other, share what they are. */
function createPeers(): (remote: string | undefined) => Peer | undefined {
  let last: { readonly remote: string; readonly peer: Peer } | undefined;
  return (remote) => {
    // The peer is gone already.
    if (remote === undefined) return undefined;
    if (last?.remote !== remote) last = { remote, peer: networkPeer(remote) };
    return last.peer;
  };
}

function networkPeer(remote: string): Peer {
  const address = remote.startsWith("::ffff:") && remote.includes(".") ? remote.slice("::ffff:".length) : remote;
  return { address, loopback: address === "::1" || address.startsWith("127.") };
}

/** Logs a warning of one kind at most once a minute, and says how often it happened in between. */
function createNotice(log: Log, clock: Clock): (kind: string, fields: object, message: string) => void {
  const kinds = new Map<string, { nextMs: number; since: number }>();
  return (kind, fields, message) => {
    const nowMs = clock.monotonicMs();
    const known = kinds.get(kind) ?? { nextMs: nowMs, since: 0 };
    kinds.set(kind, known);
    known.since += 1;
    if (nowMs < known.nextMs) return;
    log.warn({ ...fields, times: known.since }, message);
    known.nextMs = nowMs + LOG_PERIOD_MS;
    known.since = 0;
  };
}
