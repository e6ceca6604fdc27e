import { AgentError } from "../../../agent/contract/errors.ts";
import { I2C_BLOCK_BYTES, type I2cDevice } from "../../../agent/contract/i2c.ts";
import { errnoName, type Libc } from "./libc.ts";

// linux/i2c-dev.h and linux/i2c.h.
const I2C_SLAVE = 0x0703;
const I2C_SMBUS = 0x0720;
const READ = 1;
const WRITE = 0;
const BYTE_DATA = 2;
const WORD_DATA = 3;
const I2C_BLOCK_DATA = 8;

/** `struct i2c_smbus_ioctl_data`: direction, register, kind of transfer, pointer to the data; then room for that data, whose first byte is a block's length. */
const LAYOUT = { commandAt: 1, sizeAt: 4, pointerAt: 8, dataAt: 16, bytes: 16 + 1 + I2C_BLOCK_BYTES + 1 };

/** An error of the kernel, with its word as the code. */
export function systemError(errno: number): Error & { code: string } {
  const code = errnoName(errno);
  return Object.assign(new Error(code), { code });
}

/**
 * One chip through the kernel's SMBus call on an open bus; transfers run on Node's thread pool. Throws the system's errors. Unlike the package i2c-bus it
 * works in any number of threads. One transfer at a time: they share one buffer.
 */
export function openIoctlI2c(libc: Libc, fd: number, address: number): I2cDevice {
  const memory = Buffer.from(new ArrayBuffer(LAYOUT.bytes));
  memory.writeBigUInt64LE(libc.addressOf(memory) + BigInt(LAYOUT.dataAt), LAYOUT.pointerAt);

  async function transfer(direction: number, register: number, size: number): Promise<void> {
    memory[0] = direction;
    memory[LAYOUT.commandAt] = register;
    memory.writeUInt32LE(size, LAYOUT.sizeAt);
    const errno = await libc.ioctlAsync(fd, I2C_SMBUS, memory);
    if (errno !== 0) throw systemError(errno);
  }

  const errno = libc.ioctlNumber(fd, I2C_SLAVE, address);
  if (errno !== 0) throw systemError(errno);

  return {
    async readByte(register) {
      await transfer(READ, register, BYTE_DATA);
      return memory.readUInt8(LAYOUT.dataAt);
    },
    async writeByte(register, value) {
      memory.writeUInt8(value, LAYOUT.dataAt);
      await transfer(WRITE, register, BYTE_DATA);
    },
    async readWord(register) {
      await transfer(READ, register, WORD_DATA);
      return memory.readUInt16LE(LAYOUT.dataAt);
    },
    async writeWord(register, value) {
      memory.writeUInt16LE(value, LAYOUT.dataAt);
      await transfer(WRITE, register, WORD_DATA);
    },
    async readBlock(register, length) {
      memory.writeUInt8(length, LAYOUT.dataAt);
      await transfer(READ, register, I2C_BLOCK_DATA);
      const got = memory.readUInt8(LAYOUT.dataAt);
      if (got !== length) throw new AgentError("IO", `a block of ${got} bytes came instead of ${length}`);
      return Uint8Array.from(memory.subarray(LAYOUT.dataAt + 1, LAYOUT.dataAt + 1 + length));
    },
    async writeBlock(register, bytes) {
      memory.writeUInt8(bytes.length, LAYOUT.dataAt);
      memory.set(bytes, LAYOUT.dataAt + 1);
      await transfer(WRITE, register, I2C_BLOCK_DATA);
    },
    // The descriptor is its opener's.
    close: () => undefined,
  };
}
