import { AgentError } from "../contract/errors.ts";
import { PRIORITY, textOf } from "../contract/request.ts";
import { tokenDigest } from "./users.ts";
import type { AuditKind } from "../contract/audit.ts";
import type { ByteString, Caller, Permits, Request } from "../contract/request.ts";
import type { Value } from "../contract/value.ts";
import type { CertificateIdentity } from "./certificate.ts";
import type { Guard } from "./guard.ts";
import type { Bucket } from "./rates.ts";
import type { User, Users } from "./users.ts";

/** The connection somebody comes in by. */
export interface Door {
  readonly peer: {
    readonly address: string;
    /** On this machine. */
    readonly loopback: boolean;
    /** Came over TLS: then being on this machine proves nothing. */
    readonly secure?: boolean;
    /** Shown and proved in the handshake. */
    readonly certificate?: CertificateIdentity;
  };
  readonly signal: AbortSignal;
  readonly push: (message: readonly Value[]) => void;
  readonly end: () => void;
}

/** The same for all connections of a port. */
export interface EntranceOptions {
  readonly users: Users;
  readonly guard?: Guard | undefined;
  /** What HELP lists beside the verbs of every session. */
  readonly router: { readonly verbs: readonly { readonly verb: string }[] };
}

/** Who one connection's requests come from. There is one per connection, so it is data and functions beside it. */
export interface Entrance {
  readonly caller: Caller;
  readonly authenticated: boolean;
}

/** What a peer may ask before it has authenticated. */
const OPEN_TO_ALL: ReadonlySet<string> = new Set(["PING", "QUIT", "HELLO", "AUTH", "HELP"]);

/** What everybody may ask, whatever its permits, beside the verbs of the services. */
const EVERYBODYS: ReadonlySet<string> = new Set([...OPEN_TO_ALL, "INFO", "COMMAND", "CLIENT"]);

/** Of these, refusals are recorded where they arise, with more than the reply says. */
const RECORDED_ALREADY: ReadonlySet<string> = new Set(["AUTH", "HELLO"]);

/** Where no guard is given. */
const MAX_WRONG_TOKENS = 5;

/** No users have this revision: who has seen it is looked up again. */
const NEVER = -1;

const EVERYTHING: Permits = { allow: ["*"], allows: () => true };

type Changeable<T> = { -readonly [key in keyof T]: T[key] };

interface State extends Entrance {
  readonly door: Door;
  readonly options: EntranceOptions;
  caller: Changeable<Caller>;
  authenticated: boolean;
  /** Looks the user up again; undefined while nobody is known by name. */
  lookUp: (() => User | undefined) | undefined;
  bucket: Bucket | undefined;
  /** The users' when the caller was looked up. */
  revision: number;
  wrongTokens: number;
  /** Requests refused by a rate, less those let through. */
  refused: number;
}

/** On this machine is whoever could stop the agent: an operator, who may also ask for more. Others are nobody until they show who they are. */
export function openEntrance(door: Door, options: EntranceOptions): Entrance {
  const { address, loopback, secure, certificate } = door.peer;
  const state: State = {
    door,
    options,
    caller: createCaller(door, address, PRIORITY.operator, PRIORITY.eStop, door.push),
    authenticated: loopback && secure !== true,
    lookUp: undefined,
    bucket: options.guard?.rates.ofAddress(address),
    revision: options.users.revision,
    wrongTokens: 0,
    refused: 0,
  };
  if (certificate !== undefined) enterByCertificate(state, certificate);
  return state;
}

/**
 * Why a request may not pass: LIMIT for too many of them, DENIED for who is not authenticated or not welcome any more, UNKNOWN for verbs that only codecs
 * make when the caller's permits are limited. `trusted` requests need no authentication.
 */
export function refusalAt(entrance: Entrance, verb: string, trusted: boolean): AgentError | undefined {
  const state = entrance as State;
  if (state.revision !== state.options.users.revision) {
    const error = lookAgain(state);
    if (error !== undefined) return error;
  }
  // Nothing may keep anybody from stopping everything.
  if (state.bucket !== undefined && verb !== "ESTOP") {
    const error = takeFrom(state, state.bucket);
    if (error !== undefined) return error;
  }
  if (!state.authenticated && !trusted && !OPEN_TO_ALL.has(verb)) {
    return new AgentError("DENIED", `${textOf(verb)} needs authentication here: AUTH name token, or HELLO 3 AUTH name token`);
  }
  if (state.caller.permits !== undefined && !isListed(state, verb)) {
    return new AgentError("UNKNOWN", `no verb ${JSON.stringify(textOf(verb.slice(0, 40)))} (HELP lists the verbs)`);
  }
  return undefined;
}

/** Makes the caller the user of that token. Throws DENIED when there is none, LIMIT after too many that were wrong. */
export function authenticate(entrance: Entrance, name: ByteString | undefined, token: ByteString): void {
  const state = entrance as State;
  const { users, guard } = state.options;
  const { address } = state.door.peer;
  if (users.count === 0) {
    record(state, "authenticate", "token", "no users are configured");
    throw new AgentError("DENIED", "nobody can authenticate: no users are configured under auth.users");
  }
  const waitMs = guard?.backOff.waitMs(address) ?? 0;
  if (waitMs > 0) {
    record(state, "authenticate", "token", "not looked at: too many were wrong");
    throw new AgentError("LIMIT", `too many wrong tokens came from ${address}; come again in ${Math.ceil(waitMs)} ms`);
  }
  // Client libraries say `default` when they were given a token only.
  const asked = name === undefined || name === "default" ? undefined : textOf(name);
  const digest = tokenDigest(token);
  const user = users.withToken(asked, digest);
  if (user === undefined || user.revoked) throw wrongToken(state, user);
  enter(state, user, () => users.withToken(user.name, digest));
  record(state, "authenticate", user.name, "by token", address);
}

/** Keeps a record of an answered DENIED; `request` is undefined when it answers none. */
export function recordFailure(entrance: Entrance, error: AgentError, request: Request | undefined): void {
  const state = entrance as State;
  if (error.code !== "DENIED" || state.options.guard?.audit === undefined) return;
  if (request === undefined) record(state, "refuse", "connection", error.message);
  else if (!RECORDED_ALREADY.has(request.verb)) {
    // What was typed is not repeated: it may be a token in the wrong place.
    const subject = isListed(state, request.verb) ? request.verb : "another verb";
    record(state, "refuse", subject, state.authenticated ? error.message : "not authenticated");
  }
}

function createCaller(door: Door, name: string, priority: number, maxPriority: number, push: Door["push"]): Changeable<Caller> {
  return {
    name,
    priority,
    maxPriority,
    address: door.peer.address,
    // Few callers are ever asked for it.
    get signal() {
      return door.signal;
    },
    push,
  };
}

function isListed(state: State, verb: string): boolean {
  return EVERYBODYS.has(verb) || state.options.router.verbs.some((doc) => doc.verb === verb);
}

function record(state: State, kind: AuditKind, subject: string, detail: string, by = nameOf(state)): void {
  state.options.guard?.audit?.record(kind, by, subject, detail);
}

function nameOf({ caller, door }: State): string {
  return caller.name === door.peer.address ? caller.name : `${caller.name}@${door.peer.address}`;
}

function enter(state: State, user: User, again: () => User | undefined): void {
  state.authenticated = true;
  state.lookUp = again;
  state.revision = state.options.users.revision;
  state.caller = createCaller(state.door, user.name, 0, 0, (message) => {
    pushWhileWelcome(state, message);
  });
  become(state, user);
}

function become(state: State, user: User): void {
  const { caller } = state;
  caller.priority = Math.min(PRIORITY.operator, user.priority);
  caller.maxPriority = user.priority;
  if (user.permits !== undefined || caller.permits !== undefined) caller.permits = user.permits ?? EVERYTHING;
  state.bucket = state.options.guard?.rates.ofUser(user);
}

/** Whoever is not among the users comes in as anybody does: AUTH may still do. */
function enterByCertificate(state: State, { commonName, fingerprint }: CertificateIdentity): void {
  const find = (): User | undefined => state.options.users.withCertificate(commonName);
  const user = find();
  if (user === undefined) {
    record(state, "authenticate", "certificate", `no user has ${commonName} ${fingerprint}`);
    return;
  }
  enter(state, user, find);
  if (user.revoked) state.revision = NEVER;
  else record(state, "authenticate", user.name, `by certificate ${commonName} ${fingerprint}`, state.door.peer.address);
}

/** Users were changed: whether this one still is one, and what it may do now. */
function lookAgain(state: State): AgentError | undefined {
  const { revision } = state.options.users;
  if (state.lookUp !== undefined) {
    const user = state.lookUp();
    if (user === undefined || user.revoked) return expel(state, user);
    become(state, user);
  }
  state.revision = revision;
  return undefined;
}

function expel(state: State, user: User | undefined): AgentError {
  const { name } = state.caller;
  const why = user === undefined ? "is no user any more, or has another token" : "is revoked";
  record(state, "refuse", "session", `${name} ${why}`);
  state.door.end();
  return new AgentError("DENIED", `${name} ${why}; the connection is closed`);
}

/** Somebody who only listens must go, too. */
function pushWhileWelcome(state: State, message: readonly Value[]): void {
  const { door, lookUp, caller } = state;
  if (state.revision !== state.options.users.revision) {
    const user = lookUp?.();
    // Said before the connection ends: that is what makes it leave, and the connection close behind it.
    if (user === undefined || user.revoked) door.push(["error", `DENIED ${caller.name} may not listen any more`]);
    if (lookAgain(state) !== undefined) return;
  }
  door.push(message);
}

function takeFrom(state: State, bucket: Bucket): AgentError | undefined {
  const waitMs = bucket.take();
  if (waitMs > 0) return tooMany(state, bucket.perSecond, waitMs);
  if (state.refused > 0) state.refused -= 1;
  return undefined;
}

function tooMany(state: State, perSecond: number, waitMs: number): AgentError {
  const { guard } = state.options;
  const limit = `${perSecond} requests a second, ${state.lookUp === undefined ? "auth.perSecond" : `perSecond of ${state.caller.name}`}`;
  const wait = `come again in ${Math.ceil(waitMs)} ms`;
  state.refused += 1;
  record(state, "refuse", "requests", `more than ${limit}`);
  if (guard === undefined || state.refused < guard.maxRefused) return new AgentError("LIMIT", `more than ${limit}; ${wait}`);
  record(state, "refuse", "connection", `closed: ${state.refused} requests were too many`);
  state.door.end();
  return new AgentError("LIMIT", `more than ${limit}, ${state.refused} times; the connection is closed, ${wait}`);
}

function wrongToken(state: State, user: User | undefined): AgentError {
  const { guard } = state.options;
  record(state, "authenticate", user?.name ?? "token", user === undefined ? "refused: wrong" : "refused: token of a revoked user");
  guard?.backOff.wrong(state.door.peer.address);
  state.wrongTokens += 1;
  if (state.wrongTokens >= (guard?.maxWrongTokens ?? MAX_WRONG_TOKENS)) state.door.end();
  return new AgentError("DENIED", user === undefined ? "no user has that name and token" : `${user.name} is revoked`);
}
