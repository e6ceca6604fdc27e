import { AgentError } from "./contract/errors.ts";
import { nearest } from "./contract/nearest.ts";
import { errorReply, textOf } from "./contract/request.ts";
import type { Caller, Reply, Request, Service, VerbDoc } from "./contract/request.ts";
import type { Eventually } from "./contract/value.ts";
import { SESSION_VERBS } from "./session-verbs.ts";

export interface Router {
  /** What HELP lists, in the order of the services. */
  readonly verbs: readonly VerbDoc[];
  /** Never throws, never rejects, as the services. */
  handle(request: Request, caller: Caller): Eventually<Reply>;
}

export interface RouterOptions {
  /** Verbs that a codec makes and nobody types, with who answers them. */
  readonly unlisted?: ReadonlyMap<string, Service>;
  /** Verbs answered on another listener, with where that is: `the gateway, 127.0.0.1:6390`. */
  readonly elsewhere?: ReadonlyMap<string, string>;
}

/** Longer words are cut in the error that quotes them. */
const MAX_QUOTED = 40;

/** Finds the service of a verb. Two services with one verb are a mistake in the wiring and throw. */
export function createRouter(services: readonly Service[], options: RouterOptions = {}): Router {
  const routes = new Map<string, Service>(options.unlisted);
  const verbs: VerbDoc[] = [];
  for (const service of services) {
    for (const doc of service.verbs) {
      if (routes.has(doc.verb)) throw new AgentError("ARGUMENT", `two services answer ${doc.verb}`);
      routes.set(doc.verb, service);
      verbs.push(doc);
    }
  }

  function unknown(verb: string): Reply {
    const word = textOf(verb.slice(0, MAX_QUOTED));
    const where = options.elsewhere?.get(verb);
    if (where !== undefined) return errorReply(new AgentError("UNKNOWN", `${word} is not answered here; it is on ${where}`));
    const meant = nearest(
      word,
      [...verbs, ...SESSION_VERBS].map((doc) => doc.verb),
    );
    const guess = meant === undefined ? "" : `; did you mean ${meant}?`;
    return errorReply(new AgentError("UNKNOWN", `no verb ${JSON.stringify(word)}${guess} (HELP lists the verbs)`));
  }

  return {
    verbs,
    handle(request, caller) {
      const service = routes.get(request.verb);
      return service === undefined ? unknown(request.verb) : service.handle(request, caller);
    },
  };
}
