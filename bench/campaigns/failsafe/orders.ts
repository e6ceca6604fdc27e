// Who orders what the agent under test does: a client of the gateway, or an analytics stream with rules behind it.
import { connect, type Socket } from "node:net";

import { ARMING_BRAKE_PERCENT, LEASE_MS, RULE_PRIORITY } from "./configuration.ts";
import { monotonicMs } from "./changes.ts";
import { ask, until, type Listening } from "./subject.ts";

/** From one order to the next, milliseconds. */
const ORDER_MS = 50;

/** Somebody who keeps ordering. */
export interface Orders {
  /** When the last order that is known to have counted was given. */
  lastMs(): number;
  /** An order was given that nobody has heard of yet: whether it counts, and until when, is not known here. */
  onItsWay(): boolean;
  /** `reset`: the connection is torn down. `silent`: it stays, and nothing more comes. */
  cut(how: "reset" | "silent"): void;
  end(): void;
}

function keepSending(socket: Socket, send: () => void): { stop(): void } {
  socket.setNoDelay(true);
  // An agent that is killed resets its connections.
  socket.on("error", () => undefined);
  const timer = setInterval(send, ORDER_MS);
  return { stop: () => clearInterval(timer) };
}

function cutting(socket: Socket, sending: { stop(): void }): Pick<Orders, "cut" | "end"> {
  return {
    cut(how) {
      sending.stop();
      if (how === "reset") socket.resetAndDestroy();
    },
    end() {
      sending.stop();
      socket.destroy();
    },
  };
}

const ALWAYS = ["servo.angle 30", "motor.speed 60", "lamp.on"];
const ARM = "car.arm";
const ARMING: readonly string[] = [...ALWAYS, `car.brake ${ARMING_BRAKE_PERCENT}`, ARM];
const DRIVING: readonly string[] = [...ALWAYS, "car.brake 0", "car.accelerator 40"];

/** One call on its way. */
interface Pending {
  readonly call: string;
  /** When it was sent, of the last call of a round of driving; what was sent before counts with it. */
  readonly endsRoundMs: number | undefined;
}

/** Tells the answers apart, in whatever pieces they come: each is told by its first line. */
export function answerReader(onAnswer: (first: string) => void): (chunk: string) => void {
  let rest = "";
  return (chunk) => {
    const lines = (rest + chunk).split("\r\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (/^[-+:$_#,]/.test(line)) onAnswer(line);
  };
}

/** A client of the gateway that arms the vehicle and keeps everything going. Resolves when that is carried out; undefined when a call was refused. */
export async function orderByClient({ gateway }: Listening): Promise<Orders | undefined> {
  const socket = connect(gateway, "127.0.0.1");
  const pending: Pending[] = [];
  let calls = ARMING;
  let rounds = 0;
  let last = Number.NaN;
  let refusal: string | undefined;

  const sending = keepSending(socket, () => {
    const nowMs = monotonicMs();
    for (const [i, call] of calls.entries()) {
      pending.push({ call, endsRoundMs: calls === DRIVING && i === calls.length - 1 ? nowMs : undefined });
    }
    socket.write(calls.map((call) => `CLONE LEASE ${LEASE_MS} ${call}\r\n`).join(""));
  });

  const read = answerReader((first) => {
    const answered = pending.shift();
    if (answered === undefined) return;
    const refused = first.startsWith("-");
    const expected = calls === ARMING && first.startsWith("-NOT_READY") && answered.call.startsWith("car.");
    if (refused && !expected) refusal ??= `${answered.call}: ${first}`;
    if (answered.call === ARM && !refused) calls = DRIVING;
    if (answered.endsRoundMs === undefined) return;
    last = answered.endsRoundMs;
    rounds += 1;
  });
  socket.on("data", (chunk: Buffer) => read(chunk.toString("latin1")));

  const orders = { lastMs: () => last, onItsWay: () => pending.length > 0, ...cutting(socket, sending) };
  await until("the orders are carried out", () => refusal !== undefined || rounds >= 3);
  if (refusal === undefined) return orders;
  process.stdout.write(`an order was refused: ${refusal}\n`);
  orders.end();
  return undefined;
}

/** An analytics stream that says again and again what the rules wait for; a client arms the vehicle once. */
export async function orderByStream({ gateway, analytics }: Listening): Promise<Orders> {
  const socket = connect(analytics, "127.0.0.1");
  let pedals = { accelerator: 0, brake: ARMING_BRAKE_PERCENT };
  let last = Number.NaN;
  const sending = keepSending(socket, () => {
    last = monotonicMs();
    socket.write(`distance_m=3\naccelerator=${pedals.accelerator}\nbrake=${pedals.brake}\n`);
  });
  await until("the vehicle is armed", async () => {
    const answer = await ask(gateway, `CLONE PRIORITY ${RULE_PRIORITY} ${ARM}`);
    return answer !== "" && !answer.startsWith("-");
  });
  pedals = { accelerator: 40, brake: 0 };
  return { lastMs: () => last, onItsWay: () => false, ...cutting(socket, sending) };
}
