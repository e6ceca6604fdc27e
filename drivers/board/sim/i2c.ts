import { AgentError } from "../../../agent/contract/errors.ts";
import { createI2cQueue, queueI2c, type I2cQueue, type I2cTiming } from "../i2c-queue.ts";
import { didYouMean } from "../../../agent/contract/nearest.ts";
import { i2cText, type I2cBus, type I2cDevice, type I2cRef } from "../../../agent/contract/i2c.ts";
import type { Clock } from "../../../agent/contract/clock.ts";
import type { Faults } from "./faults.ts";

/** What hangs on a bus: bytes in, bytes out. What it throws is the transfer's error. */
export interface SimI2cChip {
  /** `length` bytes, after `register` was sent. A byte has one, a word two. */
  read(register: number, length: number): Uint8Array;
  /** Everything after `register` up to the stop condition. */
  write(register: number, bytes: Uint8Array): void;
}

/** A chip of 256 registers of 8 bits, whose address counts up by itself and from 255 on to 0. */
export interface RegisterChip extends SimI2cChip {
  readonly registers: Uint8Array;
}

export function createRegisterChip(initial: Readonly<Record<number, number>> = {}): RegisterChip {
  const registers = new Uint8Array(256);
  for (const [register, value] of Object.entries(initial)) registers[Number(register)] = value;
  return {
    registers,
    read: (register, length) => Uint8Array.from({ length }, (_, i) => registers[(register + i) % 256] ?? 0),
    write(register, bytes) {
      bytes.forEach((byte, i) => {
        registers[(register + i) % 256] = byte;
      });
    },
  };
}

/** The buses' other side. */
export interface SimI2cWorld {
  /** Puts a chip on a bus, in place of what was there; a bus is there from its first chip on. */
  attach(bus: I2cBus, address: number, chip: SimI2cChip): void;
  /** Takes it off: the address does not answer any more. */
  detach(bus: I2cBus, address: number): void;
  /** Holds the bus low: the transfer under way and those to come do not end. */
  stick(bus: I2cBus): void;
  /** Lets it go: what hung fails, as a controller that lost arbitration, and the next one works. */
  free(bus: I2cBus): void;
}

export interface SimI2c {
  readonly world: SimI2cWorld;
  /** The same chip under the bus's own name. Throws UNKNOWN for a bus that is not there. */
  find(ref: I2cRef): I2cRef;
  open(ref: I2cRef, repeatWrites: boolean): I2cDevice;
  /** Lets go of every bus. Chips stay as they are. */
  reset(): void;
}

interface Bus {
  readonly chips: Map<number, SimI2cChip>;
  readonly queue: I2cQueue;
  /** Ends of the transfers that hang; undefined while the bus is free. */
  held: (() => void)[] | undefined;
}

export function createSimI2c(clock: Clock, faults: Faults, timing: I2cTiming): SimI2c {
  const buses = new Map<string, Bus>();

  function busOf(bus: I2cBus): Bus {
    const found = buses.get(String(bus));
    if (found !== undefined) return found;
    const names = [...buses.keys()];
    const known = names.length === 0 ? "none" : names.join(", ");
    throw new AgentError("UNKNOWN", `i2c bus ${bus} is not on the simulated board, which has ${known}${didYouMean(String(bus), names)}`);
  }

  function release(bus: Bus): void {
    const held = bus.held ?? [];
    bus.held = undefined;
    for (const end of held) end();
  }

  /** One transfer with the chip there is when its turn has come. */
  async function transfer<T>(
    name: string,
    bus: Bus,
    address: number,
    operation: "i2cRead" | "i2cWrite",
    use: (chip: SimI2cChip) => T,
  ): Promise<T> {
    const { held } = bus;
    if (held !== undefined) {
      await new Promise<void>((resolve) => held.push(resolve));
      throw new AgentError("IO", `${name}: the transfer was lost when the bus came free`);
    }
    faults.meet(operation, name);
    const chip = bus.chips.get(address);
    if (chip === undefined) throw new AgentError("IO", `chip ${name} does not answer; is it attached?`);
    return use(chip);
  }

  function rawDevice(name: string, { bus: busName, address }: I2cRef): I2cDevice {
    const bus = busOf(busName);
    function read(register: number, length: number): Promise<Uint8Array> {
      return transfer(name, bus, address, "i2cRead", (chip) => {
        const bytes = chip.read(register, length);
        if (bytes.length !== length) throw new AgentError("IO", `${name} answered ${bytes.length} bytes of ${length}`);
        return faults.due("i2cData") ? bytes.map((byte) => ~byte) : bytes;
      });
    }
    function write(register: number, bytes: Uint8Array): Promise<void> {
      return transfer(name, bus, address, "i2cWrite", (chip) => {
        chip.write(register, bytes);
      });
    }
    return {
      async readByte(register) {
        const [byte = 0] = await read(register, 1);
        return byte;
      },
      writeByte: (register, value) => write(register, Uint8Array.of(value)),
      async readWord(register) {
        const [low = 0, high = 0] = await read(register, 2);
        return low | (high << 8);
      },
      writeWord: (register, value) => write(register, Uint8Array.of(value & 0xff, value >> 8)),
      readBlock: read,
      writeBlock: write,
      close() {
        faults.meet("close", name);
      },
    };
  }

  return {
    world: {
      attach(busName, address, chip) {
        const bus = buses.get(String(busName));
        if (bus !== undefined) {
          bus.chips.set(address, chip);
          return;
        }
        const queue = createI2cQueue(timing, (delayMs, run) => clock.after(delayMs, run));
        buses.set(String(busName), { chips: new Map([[address, chip]]), queue, held: undefined });
      },
      detach(bus, address) {
        busOf(bus).chips.delete(address);
      },
      stick(bus) {
        busOf(bus).held ??= [];
      },
      free(bus) {
        release(busOf(bus));
      },
    },
    find({ bus, address }) {
      busOf(bus);
      return { bus, address };
    },
    open(ref, repeatWrites) {
      const name = i2cText(ref);
      return queueI2c(name, rawDevice(name, ref), busOf(ref.bus).queue, repeatWrites);
    },
    reset() {
      for (const bus of buses.values()) release(bus);
    },
  };
}
