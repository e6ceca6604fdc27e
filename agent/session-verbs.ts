import type { VerbDoc } from "./contract/request.ts";

/** What every connection answers by itself, whatever services are behind it. */
export const SESSION_VERBS: readonly VerbDoc[] = [
  { verb: "PING", usage: "[text]", summary: "answers PONG, or the text" },
  { verb: "QUIT", usage: "", summary: "close the connection after the answer" },
  { verb: "HELLO", usage: "[2|3 [AUTH name token] [SETNAME name]]", summary: "choose the version of RESP, authenticate" },
  { verb: "AUTH", usage: "[name] token", summary: "authenticate; the name decides the priority" },
  { verb: "HELP", usage: "[verb]", summary: "usage and summary of the verbs" },
  { verb: "INFO", usage: "[section …]", summary: "the agent's figures" },
  { verb: "COMMAND", usage: "[COUNT|DOCS|INFO|LIST [verb …]]", summary: "the verbs, for client libraries" },
  { verb: "CLIENT", usage: "SETNAME name|GETNAME|ID|INFO|LIST|SETINFO name value", summary: "this connection, for client libraries" },
];
