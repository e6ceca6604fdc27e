import t from "tap";

import { createFakeClock } from "../../../../helpers/fake-clock.ts";
import { createSimArduino } from "../../../../../drivers/board/sim/instruments/firmata.ts";
import { MODE, pinModeMessage, reportAnalogMessage } from "../../../../../drivers/serial/firmata-messages.ts";

t.test("an Arduino whose plug is pulled while it answers does nothing more", async (t) => {
  const clock = createFakeClock();
  const powered = createSimArduino(20).start({
    clock,
    send(bytes) {
      if (bytes[0] === 0xe0) powered.stop();
    },
  });
  await clock.advance(20);
  const pins = [pinModeMessage(14, MODE.analog), pinModeMessage(15, MODE.analog)];
  powered.receive(Buffer.concat([...pins, reportAnalogMessage(0, true), reportAnalogMessage(1, true)]));
  t.equal(clock.pending(), 0);
});
