import type { Cancel, Clock } from "../contract/clock.ts";
import type { Reply } from "../contract/request.ts";
import type { Word } from "./connection.ts";
import { createLink, type LinkOptions } from "./link.ts";

/** Several connections to one node. What has the same key goes over the same one, in order; what has another need not wait behind it. */
export interface Lanes {
  /** As `Link.call`. */
  call(key: string, verb: string, args: readonly Word[], deadlineMs: number): Promise<Reply>;
  /** Asked and not answered. */
  readonly inFlight: number;
  close(): void;
}

export interface LanesOptions extends LinkOptions {
  readonly connections: number;
  /** A connection that nobody uses for this long is closed, milliseconds. */
  readonly idleMs: number;
}

interface Lane {
  call(verb: string, args: readonly Word[], deadlineMs: number): Promise<Reply>;
  close(): void;
}

export function createLanes(options: LanesOptions): Lanes {
  const lanes = Array.from({ length: options.connections }, () => createLane(options, options.clock, options.idleMs));
  let inFlight = 0;

  function ended(): void {
    inFlight -= 1;
  }

  return {
    call(key, verb, args, deadlineMs) {
      inFlight += 1;
      const answer = (lanes[hashOf(key) % lanes.length] as Lane).call(verb, args, deadlineMs);
      answer.then(ended, ended);
      return answer;
    },
    get inFlight() {
      return inFlight;
    },
    close() {
      for (const lane of lanes) lane.close();
    },
  };
}

function createLane(options: LinkOptions, clock: Clock, idleMs: number): Lane {
  const link = createLink(options);
  let inFlight = 0;
  let cancelIdle: Cancel | undefined;

  function ended(): void {
    inFlight -= 1;
    if (inFlight > 0 || !link.connected) return;
    cancelIdle = clock.after(idleMs, () => {
      cancelIdle = undefined;
      link.rest();
    });
  }

  function busy(): void {
    inFlight += 1;
    cancelIdle?.();
    cancelIdle = undefined;
  }

  return {
    call(verb, args, deadlineMs) {
      busy();
      const answer = link.call(verb, args, deadlineMs);
      answer.then(ended, ended);
      return answer;
    },
    close() {
      cancelIdle?.();
      link.close();
    },
  };
}

/** FNV-1a, 32 bits. */
function hashOf(key: string): number {
  let hash = 0x811c_9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x0100_0193);
  return hash >>> 0;
}
