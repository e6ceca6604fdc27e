import type { BrokerMessage } from "../contract/broker.ts";
import type { Caller, Permits } from "../contract/request.ts";

/** Names told apart; whoever comes later is called as the rest is. */
const MAX_NAMES = 64;

/** Who asks over MQTT. The broker knows them, the agent does not: a name in the user property `user` only says who it was. */
export interface MqttCallers {
  of(message: BrokerMessage): Caller;
  /** The connection is lost: so is everybody on it. */
  lose(): void;
}

export interface MqttCallersOptions {
  readonly name: string;
  readonly priority: number;
  readonly permits: Permits | undefined;
}

export function createMqttCallers({ name, priority, permits }: MqttCallersOptions): MqttCallers {
  let gone = new AbortController();
  const named = new Map<string, Caller>();
  let plain = callerOf(name);

  function callerOf(called: string): Caller {
    return { name: called, priority, signal: gone.signal, ...(permits !== undefined && { permits }) };
  }

  return {
    of({ properties }) {
      const user = properties["user"];
      if (user === undefined || !/^[\w.-]{1,32}$/.test(user)) return plain;
      const known = named.get(user);
      if (known !== undefined) return known;
      if (named.size >= MAX_NAMES) return plain;
      const caller = callerOf(`${name} ${user}`);
      named.set(user, caller);
      return caller;
    },
    lose() {
      gone.abort();
      gone = new AbortController();
      named.clear();
      plain = callerOf(name);
    },
  };
}
