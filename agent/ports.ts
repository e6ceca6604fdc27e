import { createConversations } from "./conversations.ts";
import { parseListenAddress, startListener, type Listener, type ListenerOptions } from "./listener.ts";
import { createRouter } from "./router.ts";
import type { Tls } from "./access/tls.ts";
import type { Service } from "./contract/request.ts";
import type { ConversationOptions } from "./conversations.ts";
import type { ClassicGrammar } from "./wire/classic.ts";

/** One of VIRGO's ports: a service in both dialects. */
export interface Port {
  readonly name: string;
  readonly address: string | false;
  readonly service: Service;
  readonly grammar: ClassicGrammar;
  /** The verbs that the grammar makes and nobody types. */
  readonly classicVerbs: readonly string[];
}

export interface PortsOptions {
  readonly ports: readonly Port[];
  /** Every service, for the gateway and the secure listener. */
  readonly services: readonly Service[];
  readonly gateway: string | false;
  /** Every service again, behind TLS. */
  readonly secure: { readonly address: string; readonly tls: Tls } | undefined;
  readonly listener: Pick<ListenerOptions, "limits" | "clock" | "log" | "audit">;
  readonly conversation: Omit<ConversationOptions, "router" | "classic">;
  readonly classicAllows: NonNullable<ConversationOptions["classic"]>["allows"];
  /** Told each listener as soon as it listens. */
  readonly opened: (listener: Listener) => void;
}

/** Listens on the gateway, the secure listener and every port that has an address. */
export async function openPorts(options: PortsOptions): Promise<void> {
  const { ports, services, gateway, secure, conversation, classicAllows } = options;
  const everything = { ...conversation, router: createRouter(services) };
  const where = gateway === false ? undefined : await listen("gateway", gateway, everything);
  if (secure !== undefined) await listen("secure", secure.address, everything, secure.tls);
  for (const { name, address, service, grammar, classicVerbs } of ports) {
    if (address === false) continue;
    const router = createRouter([service], {
      unlisted: new Map(classicVerbs.map((verb) => [verb, service])),
      elsewhere: where === undefined ? new Map() : elsewhere(services, service, `the gateway, ${where}`),
    });
    await listen(name, address, { ...conversation, router, classic: { grammar, allows: classicAllows } });
  }

  /** Where it was bound. */
  async function listen(name: string, address: string, talk: ConversationOptions, tls?: Tls): Promise<string> {
    const listener = await startListener({
      ...options.listener,
      ...(tls === undefined ? {} : { tls }),
      name,
      address: parseListenAddress(address),
      openConversation: createConversations(talk),
    });
    options.opened(listener);
    return listener.address;
  }
}

function elsewhere(services: readonly Service[], here: Service, where: string): Map<string, string> {
  const others = services.filter((service) => service !== here);
  return new Map(others.flatMap(({ verbs }) => verbs.map(({ verb }) => [verb, where] as const)));
}
