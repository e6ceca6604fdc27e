import type { Test } from "tap";

import { behavioursOf, metBy, type Opened } from "./behaviour.ts";
import { expectCode } from "./board.ts";
import type { Board } from "../../agent/contract/board.ts";
import type { Eventually } from "../../agent/contract/value.ts";
import type { SerialOptions, SerialStream } from "../../agent/contract/serial.ts";

/** What hangs on the port, and its plug. */
export interface SerialWorld {
  /** Plugs the instrument in, and pulls its plug. */
  plug(): Eventually<void>;
  unplug(): Eventually<void>;
  /** The instrument sends. */
  send(bytes: Uint8Array): Eventually<void>;
  /** Every byte it got since it was plugged in last. */
  received(): Eventually<Buffer>;
  close?(): Eventually<void>;
}

export interface SerialSetup {
  /** Nothing is plugged in. */
  open(): Promise<Opened<Pick<Board, "openSerial" | "close">, SerialWorld>>;
  readonly path: string;
  /** Another name of the same port, where it can have one. */
  readonly alias?: string;
  /** Lets time pass, some 20 ms of it: simulated time or real. */
  settle(): Promise<void>;
}

export const SERIAL_OPTIONS: SerialOptions = {
  baudRate: 115_200,
  dataBits: 8,
  parity: "none",
  stopBits: 1,
  silentMs: 0,
  retryMinMs: 10,
  retryMaxMs: 100,
  sendBytes: 4096,
};

/** Every byte value: a line that is not raw would change some. */
const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, value) => value));

/** What serial ports are on every board. One subtest of `t` per behaviour, each on a fresh board. */
export function serialContract(t: Test, setup: SerialSetup): void {
  const { path, alias } = setup;

  const behaviour = behavioursOf(t, () => setup.open());

  async function until(t: Test, what: string, condition: () => Eventually<boolean>): Promise<void> {
    if (!(await metBy(() => setup.settle(), condition))) t.fail(what);
  }

  /** Everything that arrives, and every change of state as a word. */
  function follow(stream: SerialStream) {
    const chunks: Buffer[] = [];
    const states: string[] = [];
    stream.onData((bytes) => chunks.push(Buffer.from(bytes)));
    stream.onState((state, reason) => {
      states.push(state);
      if (reason === "") throw new Error(`${state} without a reason`);
    });
    return { arrived: () => Buffer.concat(chunks), states };
  }

  behaviour("every byte passes unchanged both ways, in order", async (t, board, world) => {
    await world.plug();
    const stream = await board.openSerial("gps", path, SERIAL_OPTIONS);
    t.equal(stream.state(), "open", stream.reason());
    const { arrived } = follow(stream);
    await world.send(EVERY_BYTE);
    await until(t, "all arrive", () => arrived().length >= EVERY_BYTE.length);
    t.same(arrived(), EVERY_BYTE);
    for (const byte of EVERY_BYTE) stream.write(Uint8Array.of(byte));
    await until(t, "all are received", async () => (await world.received()).length >= EVERY_BYTE.length);
    t.same(await world.received(), EVERY_BYTE);
  });

  behaviour("what is written is a copy", async (t, board, world) => {
    await world.plug();
    const stream = await board.openSerial("gps", path, SERIAL_OPTIONS);
    const bytes = Buffer.from("AT");
    stream.write(bytes);
    bytes.fill("x");
    await until(t, "it is received", async () => (await world.received()).length >= 2);
    t.equal(String(await world.received()), "AT");
  });

  behaviour("a port that is not there is waited for", async (t, board, world) => {
    const stream = await board.openSerial("gps", path, SERIAL_OPTIONS);
    const { arrived, states } = follow(stream);
    t.equal(stream.state(), "waiting");
    t.match(stream.reason(), `${path} is not there`);
    await expectCode(t, "NOT_READY", [path], () => {
      stream.write(Buffer.from("lost"));
    });
    await world.plug();
    await until(t, "it opens", () => stream.state() === "open");
    await world.send(Buffer.from("late"));
    await until(t, "bytes arrive", () => arrived().length >= 4);
    t.equal(String(arrived()), "late");
    t.same(states, ["open"]);
  });

  behaviour("a port that is pulled and plugged in again goes on, as often as it happens", async (t, board, world) => {
    await world.plug();
    const stream = await board.openSerial("gps", path, SERIAL_OPTIONS);
    const { arrived, states } = follow(stream);
    for (const word of ["one", "two", "three"]) {
      await world.send(Buffer.from(word));
      await until(t, `${word} arrives`, () => String(arrived()).endsWith(word));
      await world.unplug();
      await until(t, "the loss is told", () => stream.state() === "waiting");
      t.match(stream.reason(), path);
      await world.plug();
      await until(t, "it opens again", () => stream.state() === "open");
      stream.write(Buffer.from(word));
      await until(t, `${word} is received`, async () => String(await world.received()) === word);
    }
    t.equal(String(arrived()), "onetwothree");
    t.same(states, ["waiting", "open", "waiting", "open", "waiting", "open"]);
  });

  behaviour("a silent port is opened again, and one that talks is not", async (t, board, world) => {
    await world.plug();
    const stream = await board.openSerial("gps", path, { ...SERIAL_OPTIONS, silentMs: 400 });
    const { states } = follow(stream);
    for (let i = 0; i < 15; i++) {
      await world.send(Buffer.from("."));
      await setup.settle();
    }
    t.same(states, []);
    await until(t, "it is opened again", () => states.length >= 2);
    t.same(states.slice(0, 2), ["waiting", "open"]);
  });

  behaviour("a driver may ask for a fresh start", async (t, board, world) => {
    await world.plug();
    const stream = await board.openSerial("gps", path, SERIAL_OPTIONS);
    const { states } = follow(stream);
    stream.reopen("it answers nonsense");
    t.same(states, ["waiting"]);
    t.match(stream.reason(), /answers nonsense/);
    stream.reopen("again");
    await until(t, "it opens again", () => stream.state() === "open");
    t.same(states, ["waiting", "open"]);
  });

  behaviour("more than may wait is refused, and what waits is sent", async (t, board, world) => {
    await world.plug();
    const stream = await board.openSerial("gps", path, { ...SERIAL_OPTIONS, sendBytes: 16 });
    stream.write(Buffer.alloc(10, "a"));
    await expectCode(t, "FULL", [path, "16"], () => {
      stream.write(Buffer.alloc(7, "b"));
    });
    stream.write(Buffer.alloc(6, "c"));
    await until(t, "what was taken is received", async () => (await world.received()).length >= 16);
    t.equal(String(await world.received()), "aaaaaaaaaacccccc");
    await setup.settle();
    stream.write(Buffer.alloc(16, "d"));
    await until(t, "there is room again", async () => (await world.received()).length >= 32);
  });

  behaviour("a port has one owner, whether it is there or not", async (t, board, world) => {
    const first = await board.openSerial("gps", path, SERIAL_OPTIONS);
    await expectCode(t, "IN_USE", [path, "gps"], () => board.openSerial("lidar", path, SERIAL_OPTIONS));
    await world.plug();
    await until(t, "it opens", () => first.state() === "open");
    await expectCode(t, "IN_USE", [path, "gps"], () => board.openSerial("lidar", path, SERIAL_OPTIONS));
    if (alias !== undefined) await expectCode(t, "IN_USE", ["gps"], () => board.openSerial("lidar", alias, SERIAL_OPTIONS));
    await first.close();
    const second = await board.openSerial("lidar", alias ?? path, SERIAL_OPTIONS);
    await until(t, "the next one has it", () => second.state() === "open");
  });

  behaviour("what was written before closing is sent; closed is closed", async (t, board, world) => {
    await world.plug();
    const stream = await board.openSerial("gps", path, SERIAL_OPTIONS);
    const { arrived, states } = follow(stream);
    await world.send(Buffer.from("hello"));
    await until(t, "the instrument is there", () => arrived().length >= 5);
    stream.write(Buffer.from("bye"));
    await Promise.all([stream.close(), stream.close()]);
    await until(t, "it is received", async () => (await world.received()).length >= 3);
    await world.send(Buffer.from("late"));
    await setup.settle();
    t.same([String(arrived()), states], ["hello", []]);
    await expectCode(t, "IO", ["closed"], () => {
      stream.write(Buffer.from("x"));
    });
    await expectCode(t, "IO", ["closed"], () => stream.onData(() => undefined));
    await expectCode(t, "IO", ["closed"], () => stream.onState(() => undefined));
    const waiting = await board.openSerial("gps", path, SERIAL_OPTIONS);
    await world.unplug();
    await until(t, "the loss is told", () => waiting.state() === "waiting");
    await board.close();
    await expectCode(t, "IO", ["closed"], () => board.openSerial("gps", path, SERIAL_OPTIONS));
  });

  behaviour("a listener may close from within", async (t, board, world) => {
    await world.plug();
    const stream = await board.openSerial("gps", path, SERIAL_OPTIONS);
    const heard: string[] = [];
    let closing: Promise<void> | undefined;
    stream.onData(() => {
      heard.push("first");
      closing = stream.close();
    });
    stream.onData(() => heard.push("second"));
    await world.send(Buffer.from("a"));
    await until(t, "it arrives", () => heard.length > 0);
    await closing;
    await setup.settle();
    t.same(heard, ["first"]);
  });
}
