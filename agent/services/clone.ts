import { AgentError, toAgentError } from "../contract/errors.ts";
import {
  errorReply,
  textOf,
  valueReply,
  type ByteString,
  type Caller,
  type Reply,
  type Request,
  type Service,
} from "../contract/request.ts";
import type { Journal } from "../contract/journal.ts";
import { isPending, type Eventually } from "../contract/value.ts";
import type { ExecutableRunner } from "./executables.ts";
import type { PluginRunner } from "./plugins.ts";

/** The function the original's own test client invokes; it records its argument and answers 0. */
const TEST_FUNCTION = "virgo_cloud_test_kernelspace";

/** What a bare token of the classic dialect names: `parameterIsExecutable` of the original. */
export type CloneMode = 0 | 1 | 2;

/** Where tokens go that are not run here: the queue. */
export interface TokenQueue {
  /** Answered once it is on disk. Never throws, never rejects. */
  accept(payload: ByteString, caller: Caller): Eventually<Reply>;
}

export interface CloneServiceOptions {
  /** Answers CLONE and the other device verbs. */
  readonly devices: Service;
  readonly journal: Journal;
  /** The mode of a token that does not carry its own. */
  readonly mode: CloneMode;
  readonly executables: ExecutableRunner;
  readonly plugins: PluginRunner;
  /** Takes the tokens of mode 2 that name nothing; absent, they are answered UNKNOWN. */
  readonly queue?: TokenQueue | undefined;
  /** Gives every token to `queue`, instead of running any. */
  readonly useAsKingcobraService?: boolean;
}

/**
 * virgo_clone: the device host's verbs, and the two classic forms the codec makes of a token:
 * CLONE.TOKEN mode token, and CLONE.CALL function arg ….
 */
export function createCloneService(options: CloneServiceOptions): Service {
  const { devices, journal, mode, executables, plugins, queue, useAsKingcobraService = false } = options;

  function testFunction(args: readonly ByteString[], caller: Caller): Reply {
    journal.record("clone-test", TEST_FUNCTION, caller.name, args.map(textOf).join(" "));
    return valueReply(0);
  }

  function clone(request: Request, caller: Caller): Eventually<Reply> {
    if (request.args[0] === TEST_FUNCTION) return testFunction(request.args.slice(1), caller);
    return devices.handle(request, caller);
  }

  async function run(start: Promise<void>): Promise<Reply> {
    try {
      await start;
      return valueReply(null);
    } catch (error) {
      return errorReply(toAgentError(error));
    }
  }

  /** A token that names nothing goes to the queue, and without one is answered UNKNOWN with the token alone, as the wire has it. */
  function token(modeText: string, word: ByteString, caller: Caller): Eventually<Reply> {
    if (useAsKingcobraService && queue !== undefined) return queued(modeText === "" ? word : `${modeText}:${word}`, caller, queue);
    switch (modeText === "" ? String(mode) : modeText) {
      case "0":
        return run(plugins.call(word));
      case "1":
        return run(executables.start(textOf(word)));
      default:
        // The original answered an empty token like any other.
        if (word === "") return valueReply(null);
        return namedOrUnknown(word, caller);
    }
  }

  function namedOrUnknown(word: ByteString, caller: Caller): Eventually<Reply> {
    if (word === TEST_FUNCTION) return testFunction([word], caller);
    const reply = devices.handle({ verb: "CLONE", args: [word] }, caller);
    return isPending(reply) ? reply.then((later) => otherwise(later, word, caller)) : otherwise(reply, word, caller);
  }

  /** The device's reply, unless there is none: then the token is for the queue. */
  function otherwise(reply: Reply, word: ByteString, caller: Caller): Eventually<Reply> {
    if (!namesNothing(reply)) return reply;
    return queue === undefined ? errorReply(new AgentError("UNKNOWN", textOf(word), { cause: reply.error })) : queued(word, caller, queue);
  }

  /** Acknowledged means on disk: whatever keeps a token from the queue makes it one that names nothing. */
  async function queued(word: ByteString, caller: Caller, to: TokenQueue): Promise<Reply> {
    const reply = await to.accept(word, caller);
    if (reply.kind !== "error") return reply;
    const { code, message } = reply.error;
    return errorReply(new AgentError("UNKNOWN", `${textOf(word)} (not queued: ${code} ${message})`, { cause: reply.error }));
  }

  return {
    verbs: devices.verbs,
    handle(request, caller) {
      switch (request.verb) {
        case "CLONE":
          return clone(request, caller);
        case "CLONE.TOKEN":
          return token(request.args[0] ?? "", request.args[1] ?? "", caller);
        case "CLONE.CALL":
          return clone({ verb: "CLONE", args: request.args }, caller);
        default:
          return devices.handle(request, caller);
      }
    },
  };
}

function namesNothing(reply: Reply): reply is Extract<Reply, { kind: "error" }> {
  return reply.kind === "error" && reply.error.code === "UNKNOWN";
}
