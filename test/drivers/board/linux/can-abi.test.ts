import fc from "fast-check";
import t from "tap";

import {
  dataViews,
  decodeId,
  decodeLength,
  decodeState,
  encodeAddress,
  encodeErrorFilter,
  encodeFilters,
  encodeFrame,
  FRAME_BYTES,
  isErrorFrame,
  isExtended,
} from "../../../../drivers/board/linux/can-abi.ts";
import { checkFrame, passes } from "../../../../drivers/board/can-frame.ts";

const frames = fc.boolean().chain((extended) =>
  fc.record({
    id: fc.integer({ min: 0, max: extended ? 0x1fffffff : 0x7ff }),
    extended: fc.constant(extended),
    data: fc.uint8Array({ maxLength: 8 }),
  }),
);

t.test("structures are laid out as in linux/can.h and linux/can/raw.h", (t) => {
  t.equal(encodeAddress(0x01020304).toString("hex"), `1d00000004030201${"00".repeat(16)}`);
  t.equal(encodeFilters([{ id: 0x123, mask: 0x7ff, extended: false }]).toString("hex"), "23010000ff0700c0");
  t.equal(encodeFilters([{ id: 0x123, mask: 0x1fffffff, extended: true }]).toString("hex"), "23010080ffffffdf");
  t.equal(encodeFilters([]).length, 0);
  t.equal(encodeErrorFilter().toString("hex"), "44010000");
  const bytes = Buffer.alloc(FRAME_BYTES, 0xff);
  encodeFrame(bytes, { id: 0x1abcdef0, extended: true, data: Uint8Array.of(1, 2, 3) });
  t.equal(bytes.toString("hex"), "f0debc9a030000000102030000000000");
  t.end();
});

t.test("every frame is decoded as it was encoded", (t) => {
  const bytes = Buffer.alloc(FRAME_BYTES);
  const views = dataViews(bytes);
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(frames, (frame) => {
        checkFrame("can can0", frame);
        encodeFrame(bytes, frame);
        const data = views[decodeLength(bytes)];
        return (
          !isErrorFrame(bytes) &&
          decodeId(bytes) === frame.id &&
          isExtended(bytes) === frame.extended &&
          Buffer.compare(data ?? bytes, frame.data) === 0
        );
      }),
    ),
  );
  t.end();
});

t.test("whatever the kernel hands over, lengths stay within the frame and states are known ones", (t) => {
  const bytes = Buffer.alloc(FRAME_BYTES);
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ minLength: FRAME_BYTES, maxLength: FRAME_BYTES }), (garbage) => {
        bytes.set(garbage);
        const change = decodeState(bytes);
        const known = change === undefined || ["active", "warning", "passive", "bus-off"].includes(change.state);
        return known && decodeLength(bytes) <= 8 && dataViews(bytes)[decodeLength(bytes)] !== undefined;
      }),
    ),
  );
  t.end();
});

t.test("the kernel's filter and ours let the same frames through", (t) => {
  // net/can/af_can.c: a frame passes when (received & mask) === (id & mask), flags included.
  const filters = fc.record({
    id: fc.integer({ min: 0, max: 0x1fffffff }),
    mask: fc.integer({ min: 0, max: 0x1fffffff }),
    extended: fc.boolean(),
  });
  const bytes = Buffer.alloc(FRAME_BYTES);
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(frames, filters, (frame, drawn) => {
        const most = drawn.extended ? 0x1fffffff : 0x7ff;
        const filter = { ...drawn, id: drawn.id & most, mask: drawn.mask & most };
        encodeFrame(bytes, frame);
        const encoded = encodeFilters([filter]);
        const mask = encoded.readUInt32LE(4);
        const kernel = ((bytes.readUInt32LE(0) & mask) ^ (encoded.readUInt32LE(0) & mask)) === 0;
        return kernel === passes([filter], frame.id, frame.extended);
      }),
    ),
  );
  t.end();
});

t.test("a controller's errors are told apart by side", (t) => {
  const bytes = Buffer.alloc(FRAME_BYTES);
  for (const [classes, status, state, reason] of [
    [0x04, 0x04, "warning", "receive errors reached the warning level"],
    [0x04, 0x0c, "warning", "receive and transmit errors reached the warning level"],
    [0x04, 0x18, "passive", "receive errors made the controller passive"],
    [0x04, 0x30, "passive", "receive and transmit errors made the controller passive"],
    [0x04, 0x40, "active", "the controller's errors went back"],
    [0x44, 0x00, "bus-off", "the controller left the bus after too many transmit errors"],
    [0x100, 0x00, "active", "the controller was restarted"],
  ] as const) {
    bytes.fill(0);
    bytes.writeUInt32LE((0x20000000 | classes) >>> 0, 0);
    bytes[9] = status;
    t.ok(isErrorFrame(bytes));
    t.same(decodeState(bytes), { state, reason });
  }
  for (const [classes, status] of [
    [0x04, 0x01],
    [0x20, 0x00],
  ] as const) {
    bytes.fill(0);
    bytes.writeUInt32LE((0x20000000 | classes) >>> 0, 0);
    bytes[9] = status;
    t.equal(decodeState(bytes), undefined, "says nothing about the state");
  }
  t.end();
});
