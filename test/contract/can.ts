import type { Test } from "tap";

import { behavioursOf, metBy, type Opened } from "./behaviour.ts";
import { expectCode } from "./board.ts";
import type { Board } from "../../agent/contract/board.ts";
import type { CanFrame, CanState } from "../../agent/contract/can.ts";
import type { Eventually } from "../../agent/contract/value.ts";

/** Another node on the bus, and the controller's troubles. */
export interface CanWorld {
  send(frame: CanFrame): Eventually<void>;
  /** Every frame seen on the bus since `open`, as `text`. */
  seen(): Eventually<readonly string[]>;
  /** Makes the controller report this state. */
  setState(state: Exclude<CanState, "down">): Eventually<void>;
  /** Takes the interface down, and up again. */
  down(): Eventually<void>;
  up(): Eventually<void>;
  close?(): Eventually<void>;
}

export interface CanSetup {
  open(): Promise<Opened<Board, CanWorld>>;
  readonly interfaceName: string;
  /** Lets time pass, some 20 ms of it: simulated time or real. */
  settle(): Promise<void>;
}

const ALL = [
  { id: 0, mask: 0, extended: false },
  { id: 0, mask: 0, extended: true },
];

/** `123#0102`, `1FFFFFFF#`: as candump and cansend write frames. */
export function frameText({ id, extended, data }: CanFrame): string {
  const width = extended ? 8 : 3;
  return `${id.toString(16).toUpperCase().padStart(width, "0")}#${Buffer.from(data).toString("hex").toUpperCase()}`;
}

export function frame(id: number, bytes: readonly number[], extended = false): CanFrame {
  return { id, extended, data: Uint8Array.from(bytes) };
}

/** What CAN is on every board. One subtest of `t` per behaviour, each on a fresh board. */
export function canContract(t: Test, setup: CanSetup): void {
  const { interfaceName } = setup;

  const behaviour = behavioursOf(t, () => setup.open());

  async function until(t: Test, what: string, condition: () => Eventually<boolean>): Promise<void> {
    if (!(await metBy(() => setup.settle(), condition))) t.fail(what);
  }

  behaviour("frames that are sent are seen on the bus, in order, standard and extended, empty and full", async (t, board, world) => {
    const channel = await board.openCan("gcbaf", interfaceName);
    t.equal(channel.state(), "active");
    const frames = [frame(0, []), frame(0x7ff, [1, 2, 3]), frame(0x1fffffff, [0, 1, 2, 3, 4, 5, 6, 7], true), frame(0x123, [0xff], true)];
    for (const one of frames) channel.send(one);
    await until(t, "all frames are seen", async () => (await world.seen()).length >= frames.length);
    t.same(await world.seen(), frames.map(frameText));
  });

  behaviour("frames that pass a filter arrive, in order; the others do not", async (t, board, world) => {
    const channel = await board.openCan("gcbaf", interfaceName);
    const low: string[] = [];
    const extended: string[] = [];
    const all: string[] = [];
    channel.onFrame([{ id: 0x100, mask: 0x7f0, extended: false }], (one) => low.push(frameText(one)));
    channel.onFrame([{ id: 0x100, mask: 0x1fffffff, extended: true }], (one) => extended.push(frameText(one)));
    const cancel = channel.onFrame(ALL, (one) => all.push(frameText(one)));
    const frames = [frame(0x100, [1]), frame(0x100, [2], true), frame(0x10f, [3, 4]), frame(0x110, []), frame(0x101, [5], true)];
    for (const one of frames) await world.send(one);
    await until(t, "all frames arrive", () => all.length >= frames.length);
    t.same(all, frames.map(frameText));
    t.same(low, ["100#01", "10F#0304"]);
    t.same(extended, ["00000100#02"]);
    cancel();
    cancel();
    await world.send(frame(0x200, [6]));
    await world.send(frame(0x105, [7]));
    await until(t, "the last frame arrives", () => low.length >= 3);
    t.equal(all.length, frames.length, "a cancelled listener hears nothing more");
  });

  behaviour("several devices on one interface hear each other, and none hears itself", async (t, board) => {
    const first = await board.openCan("gcbaf", interfaceName);
    const second = await board.openCan("steering", interfaceName);
    const heard: Record<string, string[]> = { first: [], second: [] };
    first.onFrame(ALL, (one) => heard["first"]?.push(frameText(one)));
    second.onFrame(ALL, (one) => heard["second"]?.push(frameText(one)));
    first.send(frame(0x10, [1]));
    await until(t, "the second hears it", () => heard["second"]?.length === 1);
    second.send(frame(0x20, [2]));
    await until(t, "the first hears it", () => heard["first"]?.length === 1);
    t.same(heard, { first: ["020#02"], second: ["010#01"] });
    first.close();
    second.send(frame(0x30, []));
    t.equal(heard["first"]?.length, 1);
  });

  behaviour("what is no frame is refused", async (t, board, world) => {
    const channel = await board.openCan("gcbaf", interfaceName);
    for (const id of [-1, 0x800, 1.5, Number.NaN]) await expectCode(t, "ARGUMENT", [String(id)], () => channel.send(frame(id, [])));
    await expectCode(t, "ARGUMENT", [String(0x20000000)], () => channel.send(frame(0x20000000, [], true)));
    await expectCode(t, "ARGUMENT", ["9 bytes"], () => channel.send(frame(1, [1, 2, 3, 4, 5, 6, 7, 8, 9])));
    channel.send(frame(1, []));
    await until(t, "the good one is seen", async () => (await world.seen()).length >= 1);
    t.same(await world.seen(), ["001#"]);
  });

  behaviour("the controller's states are told with reasons, and bus-off refuses to send", async (t, board, world) => {
    const channel = await board.openCan("gcbaf", interfaceName);
    const told: string[] = [];
    const cancel = channel.onState((state, reason) => {
      t.ok(reason.length > 0, `${state}: ${reason}`);
      told.push(state);
    });
    for (const state of ["warning", "passive", "bus-off"] as const) {
      await world.setState(state);
      await until(t, `${state} is told`, () => channel.state() === state);
    }
    await world.setState("bus-off");
    await expectCode(t, "IO", [interfaceName, "bus-off"], () => channel.send(frame(1, [])));
    await world.setState("active");
    await until(t, "active again", () => channel.state() === "active");
    channel.send(frame(2, []));
    t.same(told, ["warning", "passive", "bus-off", "active"], "each new state once");
    cancel();
    await world.setState("warning");
    await until(t, "the state changes all the same", () => channel.state() === "warning");
    t.equal(told.length, 4);
  });

  behaviour("an interface that goes down says so, refuses to send, and works again once it is up", async (t, board, world) => {
    const channel = await board.openCan("gcbaf", interfaceName);
    const told: string[] = [];
    const heard: string[] = [];
    channel.onState((state) => told.push(state));
    channel.onFrame(ALL, (one) => heard.push(frameText(one)));
    await world.down();
    await until(t, "down is told", () => channel.state() === "down");
    await expectCode(t, "IO", [interfaceName, "down"], () => channel.send(frame(1, [])));
    const late = await board.openCan("late", interfaceName);
    t.equal(late.state(), "down", "one opened meanwhile knows it too");
    await world.up();
    await until(t, "up again", () => channel.state() === "active" && late.state() === "active");
    late.send(frame(2, [2]));
    await until(t, "frames arrive again", () => heard.length === 1);
    t.same(told, ["down", "active"]);
  });

  behaviour("a listener may cancel, and close, from within", async (t, board, world) => {
    const channel = await board.openCan("gcbaf", interfaceName);
    const heard: string[] = [];
    channel.onFrame(ALL, (one) => {
      heard.push(frameText(one));
      channel.close();
    });
    channel.onFrame(ALL, () => heard.push("second"));
    await world.send(frame(1, []));
    await world.send(frame(2, []));
    await until(t, "the frame arrives", () => heard.length >= 1);
    await setup.settle();
    t.same(heard, ["001#"]);
  });

  behaviour("an interface that is not there is named with those that are", async (t, board) => {
    await expectCode(t, "UNKNOWN", ["can99", interfaceName], () => board.openCan("gcbaf", "can99"));
    for (const name of ["../net", "", "a name that is far too long"]) {
      await expectCode(t, "UNKNOWN", [], () => board.openCan("gcbaf", name));
    }
  });

  behaviour("closed is closed", async (t, board) => {
    const channel = await board.openCan("gcbaf", interfaceName);
    channel.close();
    channel.close();
    await expectCode(t, "IO", ["closed"], () => channel.send(frame(1, [])));
    await expectCode(t, "IO", ["closed"], () => channel.onFrame(ALL, () => undefined));
    await expectCode(t, "IO", ["closed"], () => channel.onState(() => undefined));
    const other = await board.openCan("gcbaf", interfaceName);
    await board.close();
    await expectCode(t, "IO", ["closed"], () => other.send(frame(1, [])));
    await expectCode(t, "IO", ["closed"], () => board.openCan("gcbaf", interfaceName));
  });
}
