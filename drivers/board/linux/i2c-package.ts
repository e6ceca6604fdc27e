import type * as I2cBusPackage from "i2c-bus";

import { AgentError, messageOf } from "../../../agent/contract/errors.ts";
import type { I2cDevice } from "../../../agent/contract/i2c.ts";

/** Loads the package i2c-bus. Rejects NOT_READY naming it when it is missing or was never compiled. */
export async function loadI2cBus(): Promise<typeof I2cBusPackage> {
  try {
    return await import("i2c-bus");
  } catch (thrown) {
    throw new AgentError("NOT_READY", `package i2c-bus does not load (${messageOf(thrown)}); run: npm install i2c-bus`, { cause: thrown });
  }
}

/**
 * One chip through the package; transfers run on Node's thread pool. Rejects the system's errors. It can be loaded into one thread of a process only,
 * because its native part registers itself once.
 */
export function openPackageI2c(i2c: typeof I2cBusPackage, busNumber: number, address: number): I2cDevice {
  // A bus object for each chip: it keeps a descriptor for each address, and closes them together.
  const bus = i2c.openSync(busNumber);
  const transfers = bus.promisifiedBus();

  /** A descriptor whose address was refused must not be used again: what is sent on it would go to address 0, the general call. */
  async function run<T>(transfer: () => Promise<T>): Promise<T> {
    try {
      return await transfer();
    } catch (thrown) {
      bus.closeSync();
      throw thrown;
    }
  }

  return {
    readByte: (register) => run(() => transfers.readByte(address, register)),
    writeByte: (register, value) => run(() => transfers.writeByte(address, register, value)),
    readWord: (register) => run(() => transfers.readWord(address, register)),
    writeWord: (register, value) => run(() => transfers.writeWord(address, register, value)),
    async readBlock(register, length) {
      const { bytesRead, buffer } = await run(() => transfers.readI2cBlock(address, register, length, Buffer.alloc(length)));
      if (bytesRead !== length) throw new AgentError("IO", `a block of ${bytesRead} bytes came instead of ${length}`);
      return buffer;
    },
    async writeBlock(register, bytes) {
      await run(() => transfers.writeI2cBlock(address, register, bytes.length, Buffer.from(bytes)));
    },
    close() {
      bus.closeSync();
    },
  };
}
