// A device of the motion thread that writes a simulated PWM channel in every tick.
import { z } from "zod";

const driver = {
  name: "bench-loop",
  summary: "writes its channel in every tick",
  options: z.strictObject({ periodMs: z.number() }),
  moves: true,
  thread: "motion",
  lease: { defaultMs: 200, floorMs: 30, ceilingMs: 5000 },
  claims: () => [],
  async open(context, { periodMs }) {
    const output = await context.board.openPwm(context.id, { chip: "sim", channel: 0 }, 20_000_000);
    let ticks = 0;
    context.every(periodMs, () => {
      ticks += 1;
      void output.write((ticks & 0xff) / 0x100);
    });
    return { functions: {}, failsafe: () => output.write(0), close: () => output.close() };
  },
};

export const module = { name: "bench-loop", contract: 1, drivers: [driver] };
