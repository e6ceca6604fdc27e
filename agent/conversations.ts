import type { Limits } from "./contract/limits.ts";
import type { Conversation, Link, Peer } from "./conversation.ts";
import { createSession } from "./session.ts";
import type { SessionOptions } from "./session.ts";
import { createClassicCodec } from "./wire/classic.ts";
import type { ClassicGrammar } from "./wire/classic.ts";
import { createDialectCodec } from "./wire/dialect.ts";
import { createRespFactory } from "./wire/resp.ts";

export interface ConversationOptions extends SessionOptions {
  readonly limits: Limits;
  /** The classic dialect of the port; absent where only the modern one is spoken. */
  readonly classic?: {
    readonly grammar: ClassicGrammar;
    /** Who may speak it. */
    readonly allows: (peer: Peer) => boolean;
  };
}

/** What a listener holds with each of its clients: the dialects of the port in front of one session. */
export function createConversations(options: ConversationOptions): (link: Link) => Conversation {
  const { classic, limits } = options;
  const openResp = createRespFactory(limits);
  return (link) => {
    const session = createSession(link, options);
    const { failed } = session;
    if (classic === undefined) return { codec: openResp(), handle: (request) => session.handle(request, false), failed };
    const openClassic = classic.allows(link.peer) ? () => createClassicCodec(limits, classic.grammar) : undefined;
    const codec = createDialectCodec({ resp: openResp, classic: openClassic });
    // Who got as far as a classic request may make it: that dialect has no authentication.
    return { codec, handle: (request) => session.handle(request, codec.oneShot), failed };
  };
}
