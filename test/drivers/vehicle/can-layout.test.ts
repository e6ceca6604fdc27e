import fc from "fast-check";
import t from "tap";

import { bitsOf, checksumOf, frameSchema, placeBits, rawOf } from "../../../drivers/vehicle/can-layout.ts";

const CHECK_BYTES = new TextEncoder().encode("123456789");

/** The bytes as a checksum sees them: one more stands at the end, where it will be written. */
function withPlace(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from([...bytes, 0x55]);
}

t.test("checksums are what their definitions say", (t) => {
  t.equal(checksumOf("crc8", 0x123, withPlace(CHECK_BYTES), 9), 0x4b, "check value of CRC-8 SAE-J1850");
  t.equal(checksumOf("sum", 0x123, withPlace(CHECK_BYTES), 9), 0xdd);
  t.equal(checksumOf("xor", 0x123, withPlace(CHECK_BYTES), 9), 0x31);
  // Sum of 1 to 7, the length of 8, and the two bytes of the ID.
  t.equal(checksumOf("toyota", 0x2e4, Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 0]), 7), (28 + 8 + 0x02 + 0xe4) & 0xff);
  t.equal(checksumOf("toyota", 0x1fab_cdef, Uint8Array.from([9, 0]), 1), (9 + 2 + 0x1f + 0xab + 0xcd + 0xef) & 0xff, "29 bits");
  t.end();
});

t.test("the byte where a checksum stands does not change it, every other one does", (t) => {
  const kinds = ["xor", "sum", "crc8", "toyota"] as const;
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 8, maxLength: 8 }),
      fc.nat(7),
      fc.nat(7),
      fc.integer({ min: 1, max: 255 }),
      (data, byte, other, change) => {
        const changed = data.slice();
        changed[other] = (changed[other] ?? 0) ^ change;
        return kinds.every((kind) => (checksumOf(kind, 0x100, data, byte) === checksumOf(kind, 0x100, changed, byte)) === (other === byte));
      },
    ),
  );
  t.end();
});

t.test("bits are counted as in DBC files", (t) => {
  t.same(bitsOf({ startBit: 4, lengthBits: 6, endian: "little" }), [4, 5, 6, 7, 8, 9]);
  t.same(bitsOf({ startBit: 7, lengthBits: 8, endian: "big" }), [0, 1, 2, 3, 4, 5, 6, 7]);
  t.same(bitsOf({ startBit: 3, lengthBits: 6, endian: "big" }), [14, 15, 0, 1, 2, 3]);
  t.same(bitsOf({ startBit: 7, lengthBits: 16, endian: "big" }).slice(0, 8), [8, 9, 10, 11, 12, 13, 14, 15]);
  t.end();
});

t.test("a number is placed in its bits and nowhere else", (t) => {
  const place = (raw: number, startBit: number, lengthBits: number, endian: "little" | "big", fill = 0): string => {
    const data = new Uint8Array(4).fill(fill);
    placeBits(data, bitsOf({ startBit, lengthBits, endian }), raw);
    return Buffer.from(data).toString("hex");
  };
  t.equal(place(0x1234, 0, 16, "little"), "34120000");
  t.equal(place(0x1234, 7, 16, "big"), "12340000");
  t.equal(place(0xabc, 4, 12, "little"), "c0ab0000");
  t.equal(place(0xabc, 3, 12, "big"), "0abc0000");
  t.equal(place(0, 4, 8, "little", 0xff), "0ff0ffff", "bits are cleared too");
  t.equal(place(-2, 0, 16, "little"), "feff0000", "two's complement");
  t.equal(place(-1, 0, 32, "little"), "ffffffff");
  t.equal(place(0xffff_ffff, 7, 32, "big"), "ffffffff");
  t.end();
});

t.test("what is placed can be read back, signed or not, wherever it is", (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 32 }),
      fc.nat(63),
      fc.constantFrom("little", "big"),
      fc.boolean(),
      fc.nat(),
      (lengthBits, startBit, endian, signed, seed) => {
        const bits = bitsOf({ startBit, lengthBits, endian });
        if (bits.some((bit) => bit > 63)) return true;
        const span = 2 ** lengthBits;
        const raw = (seed % span) - (signed ? span / 2 : 0);
        const data = new Uint8Array(8).fill(0xa5);
        placeBits(data, bits, raw);
        let read = 0;
        bits.forEach((bit, i) => {
          read += ((data[bit >> 3] ?? 0) >> (bit & 7)) & 1 ? 2 ** i : 0;
        });
        if (signed && read >= span / 2) read -= span;
        const untouched = Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => !bits.includes(bit));
        return read === raw && untouched.every((bit) => (((data[bit >> 3] ?? 0) >> (bit & 7)) & 1) === ((0xa5 >> (bit & 7)) & 1));
      },
    ),
  );
  t.end();
});

t.test("a value becomes bits by scale and offset, and none when it does not fit", (t) => {
  const signal = { scale: 0.5, offset: -10, signed: false, lengthBits: 8 };
  t.equal(rawOf(signal, -10), 0);
  t.equal(rawOf(signal, 0), 20);
  t.equal(rawOf(signal, 117.5), 255);
  t.equal(rawOf(signal, 118), undefined);
  t.equal(rawOf(signal, -10.5), undefined);
  t.equal(rawOf(signal, NaN), undefined);
  const signed = { scale: -0.1, offset: 0, signed: true, lengthBits: 8 };
  t.equal(rawOf(signed, -12.7), 127);
  t.equal(rawOf(signed, 12.8), -128);
  t.equal(rawOf(signed, 12.9), undefined);
  t.end();
});

t.test("a layout that cannot be is refused where it is written", (t) => {
  const frame = { id: 0x200, length: 4, signals: { a: { startBit: 0, lengthBits: 8 } } };
  const errors = (more: object): string => {
    const parsed = frameSchema.safeParse({ ...frame, ...more });
    return parsed.success ? "" : parsed.error.issues.map(({ message }) => message).join("; ");
  };
  t.equal(errors({}), "");
  t.equal(errors({ id: 0x1fff_ffff, extended: true }), "");
  t.match(errors({ id: 0x800 }), /extended: true/);
  t.match(errors({ signals: { a: { startBit: 28, lengthBits: 8 } } }), /a goes beyond the frame's 4 bytes/);
  t.match(errors({ signals: { a: { startBit: 24, lengthBits: 9, endian: "big" } } }), /a goes beyond/);
  t.match(errors({ signals: { a: { startBit: 0, lengthBits: 8 }, b: { startBit: 7, lengthBits: 2 } } }), /b and a share bit 7/);
  t.match(errors({ counter: { startBit: 4, lengthBits: 4 } }), /the counter and a share bit 4/);
  t.match(errors({ checksum: { kind: "xor", byte: 0 } }), /the checksum and a share bit 0/);
  t.match(errors({ checksum: { kind: "xor", byte: 4 } }), /the checksum goes beyond/);
  t.match(errors({ signals: { a: { startBit: 0, lengthBits: 8, scale: 0 } } }), /scale of 0/);
  t.match(errors({ signals: { a: { startBit: 0, lengthBits: 8, rest: 256 } } }), /cannot hold its resting value/);
  t.match(errors({ periodMs: 15 }), /multiple/i);
  t.end();
});
