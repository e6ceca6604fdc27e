import { createConversations } from "./conversations.ts";
import { parseListenAddress, startListener, type Listener, type ListenerOptions } from "./listener.ts";
import { createRouter } from "./router.ts";
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
  readonly listener: Pick<ListenerOptions, "limits" | "clock" | "log">;
  readonly conversation: Omit<ConversationOptions, "router" | "classic">;
  readonly classicAllows: NonNullable<ConversationOptions["classic"]>["allows"];
  /** Told each listener as soon as it listens. */
  readonly opened: (listener: Listener) => void;
}

/** Listens on the gateway and on every port that has an address. */
export async function openPorts(options: PortsOptions): Promise<void> {
  const { ports, services, gateway, conversation, classicAllows } = options;
  const where = gateway === false ? undefined : await listen("gateway", gateway, { ...conversation, router: createRouter(services) });
  for (const { name, address, service, grammar, classicVerbs } of ports) {
    if (address === false) continue;
    const router = createRouter([service], {
      unlisted: new Map(classicVerbs.map((verb) => [verb, service])),
      elsewhere: where === undefined ? new Map() : elsewhere(services, service, `the gateway, ${where}`),
    });
    await listen(name, address, { ...conversation, router, classic: { grammar, allows: classicAllows } });
  }

  /** Where it was bound. */
  async function listen(name: string, address: string, talk: ConversationOptions): Promise<string> {
    const listener = await startListener({
      ...options.listener,
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
