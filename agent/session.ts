import { authenticate, openEntrance, recordFailure, refusalAt } from "./access/entrance.ts";
import { AgentError } from "./contract/errors.ts";
import { nearest } from "./contract/nearest.ts";
import { errorReply, OK, textOf, valueReply } from "./contract/request.ts";
import type { Entrance } from "./access/entrance.ts";
import type { Guard } from "./access/guard.ts";
import type { Users } from "./access/users.ts";
import type { ByteString, Reply, Request, VerbDoc } from "./contract/request.ts";
import { isPending, type Eventually, type Value } from "./contract/value.ts";
import type { Link } from "./conversation.ts";
import type { Router } from "./router.ts";
import { SESSION_VERBS } from "./session-verbs.ts";

/** Figures by section, as INFO shows them. */
export type Info = Readonly<Record<string, Readonly<Record<string, string | number>>>>;

export interface SessionOptions {
  /** The node's name. */
  readonly node: string;
  /** The agent's version. */
  readonly version: string;
  readonly users: Users;
  /** Limits rates and keeps the record of refusals, the same for all listeners; without it neither is done. */
  readonly guard?: Guard;
  readonly router: Router;
  readonly info: () => Eventually<Info>;
}

/** One connection's caller and what it has agreed on. */
export interface Session {
  /** Never throws. Peers that are not on this machine, or came over TLS, must show who they are first; `trusted` requests need not. */
  handle(request: Request, trusted: boolean): Eventually<Reply>;
  /** To be told of every error that is answered. */
  readonly failed: (error: AgentError, request: Request | undefined) => void;
}

/** What Redis clients look for in INFO before they send anything: a version whose protocol they know, and that nothing is being loaded. */
const REDIS_INFO = { redis_version: "7.0.0", loading: 0 };

interface State {
  readonly link: Link;
  readonly options: SessionOptions;
  readonly entrance: Entrance;
  respVersion: 2 | 3;
  /** What the client calls itself. */
  clientName: string;
}

type Answer = (state: State, args: readonly ByteString[]) => Eventually<Reply>;

const ANSWERS: ReadonlyMap<string, Answer> = new Map<string, Answer>([
  ["PING", ping],
  ["QUIT", quit],
  ["HELLO", hello],
  ["AUTH", auth],
  ["HELP", help],
  ["INFO", info],
  ["COMMAND", command],
  ["CLIENT", client],
]);

export function createSession(link: Link, options: SessionOptions): Session {
  const entrance = openEntrance(link, options);
  const state: State = { link, options, entrance, respVersion: 2, clientName: "" };
  return {
    handle(request, trusted) {
      const refusal = refusalAt(entrance, request.verb, trusted);
      if (refusal !== undefined) return errorReply(refusal);
      const answer = ANSWERS.get(request.verb);
      return answer === undefined ? options.router.handle(request, entrance.caller) : answered(answer, state, request.args);
    },
    failed(error, request) {
      recordFailure(entrance, error, request);
    },
  };
}

function answered(answer: Answer, state: State, args: readonly ByteString[]): Eventually<Reply> {
  try {
    return answer(state, args);
  } catch (thrown) {
    if (thrown instanceof AgentError) return errorReply(thrown);
    throw thrown;
  }
}

function ping(_state: State, args: readonly ByteString[]): Reply {
  expectArgs("PING", args, 0, 1);
  return args[0] === undefined ? { kind: "status", text: "PONG" } : valueReply(Buffer.from(args[0], "latin1"));
}

function quit(state: State): Reply {
  state.link.end();
  return OK;
}

function hello(state: State, args: readonly ByteString[]): Reply {
  const [version = String(state.respVersion), ...rest] = args;
  if (version !== "2" && version !== "3") {
    throw new AgentError("ARGUMENT", `version ${textOf(version)} of RESP is not spoken here; HELLO 2 and HELLO 3 are`);
  }
  const asked = helloOptions(rest);
  if (asked.token !== undefined) authenticate(state.entrance, asked.name, asked.token);
  if (asked.clientName !== undefined) state.clientName = asked.clientName;
  state.respVersion = version === "3" ? 3 : 2;
  return valueReply({
    server: "virgo",
    version: state.options.version,
    proto: state.respVersion,
    id: state.link.id,
    mode: "standalone",
    role: "master",
    modules: [],
    node: state.options.node,
    caller: state.entrance.caller.name,
    authenticated: state.entrance.authenticated,
  });
}

interface HelloOptions {
  name?: ByteString | undefined;
  token?: ByteString | undefined;
  clientName?: string;
}

function helloOptions(words: readonly ByteString[]): HelloOptions {
  const options: HelloOptions = {};
  for (let i = 0; i < words.length;) {
    const word = (words[i] as string).toUpperCase();
    if (word === "AUTH" && i + 2 < words.length) {
      options.name = words[i + 1];
      options.token = words[i + 2];
      i += 3;
    } else if (word === "SETNAME" && i + 1 < words.length) {
      options.clientName = clientName(words[i + 1] as string);
      i += 2;
    } else {
      throw new AgentError("ARGUMENT", "HELLO takes a version, then AUTH name token, then SETNAME name");
    }
  }
  return options;
}

function auth(state: State, args: readonly ByteString[]): Reply {
  expectArgs("AUTH", args, 1, 2);
  const [name, token] = args.length === 2 ? args : [undefined, args[0]];
  authenticate(state.entrance, name, token as string);
  return OK;
}

function allVerbs(state: State): readonly VerbDoc[] {
  return [...state.options.router.verbs, ...SESSION_VERBS];
}

function help(state: State, args: readonly ByteString[]): Reply {
  expectArgs("HELP", args, 0, 1);
  const verbs = allVerbs(state);
  const verb = args[0] === undefined ? undefined : textOf(args[0]).toUpperCase();
  const found = verb === undefined ? verbs : verbs.filter((doc) => doc.verb === verb);
  if (verb !== undefined && found.length === 0) {
    const meant = nearest(
      verb,
      verbs.map((doc) => doc.verb),
    );
    throw new AgentError("UNKNOWN", `no verb ${verb}${meant === undefined ? "" : `; did you mean ${meant}?`} (HELP lists the verbs)`);
  }
  return valueReply(found.map((doc) => `${doc.usage === "" ? doc.verb : `${doc.verb} ${doc.usage}`} - ${doc.summary}`));
}

function info(state: State, args: readonly ByteString[]): Eventually<Reply> {
  const figures = state.options.info();
  return isPending(figures) ? figures.then((known) => infoReply(known, args)) : infoReply(figures, args);
}

function infoReply(figures: Info, args: readonly ByteString[]): Reply {
  const wanted = new Set(args.map((section) => section.toLowerCase()));
  const everything = wanted.size === 0 || ["all", "default", "everything"].some((word) => wanted.has(word));
  const sections = Object.entries(withRedisInfo(figures));
  const shown = sections.filter(([name]) => everything || wanted.has(name.toLowerCase()));
  return valueReply(shown.map(([name, figures]) => sectionText(name, figures)).join("\r\n"));
}

function withRedisInfo(figures: Info): Info {
  return { ...figures, server: { ...REDIS_INFO, ...figures["server"] } };
}

function sectionText(name: string, figures: Readonly<Record<string, string | number>>): string {
  const lines = Object.entries(figures).map(([key, figure]) => `${key}:${String(figure).replaceAll(/[\r\n]+/g, " ")}\r\n`);
  return `# ${name}\r\n${lines.join("")}`;
}

function command(state: State, args: readonly ByteString[]): Reply {
  const [what = "INFO", ...names] = args;
  const wanted = new Set(names.map((name) => name.toUpperCase()));
  const verbs = allVerbs(state).filter((doc) => wanted.size === 0 || wanted.has(doc.verb));
  switch (what.toUpperCase()) {
    case "COUNT":
      return valueReply(verbs.length);
    case "LIST":
      return valueReply(verbs.map((doc) => doc.verb.toLowerCase()));
    case "DOCS":
      return valueReply(Object.fromEntries(verbs.map((doc) => [doc.verb.toLowerCase(), docsOf(doc)])));
    case "INFO":
      return valueReply(verbs.map(infoOf));
    default:
      throw new AgentError("UNKNOWN", `COMMAND ${textOf(what)} is not known; COUNT, DOCS, INFO and LIST are`);
  }
}

function docsOf(doc: VerbDoc): Value {
  return { summary: `${doc.usage === "" ? "" : `${doc.usage}: `}${doc.summary}`, since: "0.1.0", group: "virgo" };
}

/** Name, number of arguments (at least the verb), flags, and where the keys are: nowhere. */
function infoOf(doc: VerbDoc): Value {
  return [doc.verb.toLowerCase(), -1, [], 0, 0, 0];
}

function client(state: State, args: readonly ByteString[]): Reply {
  const [what = "", ...rest] = args;
  switch (what.toUpperCase()) {
    case "SETNAME":
      expectArgs("CLIENT SETNAME", rest, 1, 1);
      state.clientName = clientName(rest[0] as string);
      return OK;
    case "GETNAME":
      return valueReply(state.clientName === "" ? null : state.clientName);
    case "ID":
      return valueReply(state.link.id);
    case "SETINFO":
      expectArgs("CLIENT SETINFO", rest, 2, 2);
      return OK;
    case "INFO":
    case "LIST":
      return valueReply(
        `id=${state.link.id} addr=${state.link.peer.address} name=${state.clientName} user=${state.entrance.caller.name} resp=${state.respVersion}\n`,
      );
    default:
      throw new AgentError("UNKNOWN", `CLIENT ${textOf(what)} is not known; SETNAME, GETNAME, ID, INFO, LIST and SETINFO are`);
  }
}

/** Printable ASCII without spaces, as Redis asks for: it is shown in lists. */
function clientName(name: ByteString): string {
  if (!/^[!-~]{0,64}$/.test(name)) {
    throw new AgentError("ARGUMENT", "a client's name is at most 64 printable characters without spaces");
  }
  return name;
}

function expectArgs(verb: string, args: readonly ByteString[], least: number, most: number): void {
  if (args.length >= least && args.length <= most) return;
  const range = least === most ? String(least) : `${least} to ${most}`;
  throw new AgentError("ARGUMENT", `${verb} takes ${range} arguments, not ${args.length}`);
}
