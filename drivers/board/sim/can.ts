import { AgentError } from "../../../agent/contract/errors.ts";
import { checkFrame, passes } from "../can-frame.ts";
import { createListeners, type Listeners } from "../listeners.ts";
import { createRecorder, type History } from "./history.ts";
import type { CanChannel, CanFilter, CanFrame, CanState } from "../../../agent/contract/can.ts";
import type { Cancel, Clock } from "../../../agent/contract/clock.ts";
import type { Faults } from "./faults.ts";

/** A frame a device sent. */
export interface SentFrame extends CanFrame {
  readonly atMs: number;
}

/** The bus's other side: another node on it, and whoever pulls its plug. */
export interface SimCanWorld {
  /** Another node sends a frame; every channel sees it. Nothing arrives while the interface is down or bus-off. Throws ARGUMENT for what is no frame. */
  send(frame: CanFrame): void;
  /** Called with every frame a device sends. */
  onFrame(listener: (frame: SentFrame) => void): Cancel;
  /** What devices sent, the newest `historyLimit` frames. */
  sent(): History<SentFrame>;
  state(): CanState;
  /** Puts the controller into this state, as too many errors would; `reason` is what listeners are told. */
  setState(state: CanState, reason?: string): void;
  /** Whether the interface's queue takes no more. */
  setFull(full: boolean): void;
}

export interface SimCanBus {
  readonly world: SimCanWorld;
  open(): CanChannel;
  /** Active again, with room, and with nothing recorded. */
  reset(): void;
}

interface Subscription {
  readonly filters: readonly CanFilter[];
  readonly listener: (frame: CanFrame) => void;
}

/** What one channel listens for. */
interface Channel {
  readonly frames: Set<Subscription>;
  readonly states: Listeners<[state: CanState, reason: string]>;
}

/** `name` as an error has it: `can can0`. */
export function createSimCanBus(name: string, clock: Clock, faults: Faults, historyLimit: number): SimCanBus {
  const recorder = createRecorder<SentFrame>(historyLimit);
  const channels = new Set<Channel>();
  const observers = createListeners<[frame: SentFrame]>();
  let state: CanState = "active";
  let full = false;

  /** To everybody but the sender, whose data it is only for the time of the call. */
  function deliver(frame: CanFrame, sender: Channel | undefined): void {
    for (const channel of [...channels]) {
      if (channel === sender) continue;
      for (const subscription of [...channel.frames]) {
        // A listener may cancel or close from within: those it ends are not called any more.
        const listening = channel.frames.has(subscription) && passes(subscription.filters, frame.id, frame.extended);
        if (listening) subscription.listener(frame);
      }
    }
  }

  function refuseUnlessUp(): void {
    if (state === "down") {
      throw new AgentError("IO", `${name} is down; bring the interface up`);
    }
    if (state === "bus-off") throw new AgentError("IO", `${name} is bus-off after too many errors; nothing is sent until it is restarted`);
    if (full) throw new AgentError("FULL", `the send queue of ${name} is full; is any other node on the bus?`);
  }

  function setState(next: CanState, reason: string): void {
    if (next === state) return;
    state = next;
    for (const { states } of [...channels]) states.tell(next, reason);
  }

  const world: SimCanWorld = {
    send(frame) {
      checkFrame(name, frame);
      if (state === "down" || state === "bus-off") return;
      deliver(frame, undefined);
    },
    onFrame: (listener) => observers.add(listener),
    sent: () => recorder.history(),
    state: () => state,
    setState(next, reason = "the simulated world says so") {
      setState(next, reason);
    },
    setFull(next) {
      full = next;
    },
  };

  return {
    world,
    open() {
      const own: Channel = { frames: new Set(), states: createListeners() };
      let open = true;
      channels.add(own);
      function mustBeOpen(): void {
        if (!open) throw new AgentError("IO", `${name} is closed`);
      }
      return {
        send(frame) {
          mustBeOpen();
          checkFrame(name, frame);
          faults.meet("canSend", name);
          refuseUnlessUp();
          const sent: SentFrame = { id: frame.id, extended: frame.extended, data: Uint8Array.from(frame.data), atMs: clock.monotonicMs() };
          recorder.record(sent);
          observers.tell(sent);
          deliver(sent, own);
        },
        onFrame(filters, listener) {
          mustBeOpen();
          const subscription = { filters, listener };
          own.frames.add(subscription);
          return () => {
            own.frames.delete(subscription);
          };
        },
        state: () => state,
        onState(listener) {
          mustBeOpen();
          return own.states.add(listener);
        },
        close() {
          if (!open) return;
          open = false;
          own.frames.clear();
          own.states.clear();
          channels.delete(own);
          faults.meet("close", name);
        },
      };
    },
    reset() {
      setState("active", "the simulated world was reset");
      full = false;
      recorder.clear();
    },
  };
}
