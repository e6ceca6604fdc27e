// A device module: one driver, for a four-wire fan. Copy this folder, rename what is in it, and write your own.
//
// The numbers are those of Intel's "4-Wire Pulse Width Modulation (PWM) Controlled Fans", revision 1.3: the control input takes 21 to 28 kHz, best
// 25 kHz, and the sense output gives two pulses per revolution.

/**
 * The agent calls this once, when it loads the module, and gives it its own zod and the rest of the contract. So the module needs no packages.
 *
 * @param {import("virgo-edge-agent/module").ModuleKit} kit
 * @returns {import("virgo-edge-agent/module").DeviceModule}
 */
export default function pwmFan(kit) {
  const { z, AgentError, MODULE_CONTRACT, STILL_LEASE, defineDriver, defineFunction, lineRef, lineRefSchema, pwmRefSchema, pwmText } = kit;
  const PERIOD_NS = 40_000;
  const MEASURE_MS = 1000;

  // What the configuration may say. A number has its range and its unit; the agent checks them before anything is opened.
  const options = z.strictObject({
    pwm: pwmRefSchema,
    tach: lineRefSchema.optional().describe("line of the sense output, which pulls it low; without it the speed is not measured"),
    pulsesPerTurn: z.int().min(1).max(16).default(2),
    safe: z.number().min(0).max(100).default(100).describe("percent while nobody drives it; a fan that runs cools"),
    startPercent: z.number().min(0).max(100).default(30).describe("the fan turns for certain from here on"),
    stallMs: z.int().min(MEASURE_MS).max(60_000).default(5000).describe("without a pulse for that long it is stuck, milliseconds"),
  });

  const fanDriver = defineDriver({
    name: "pwm-fan",
    summary: "a four-wire fan: speed in percent, revolutions per minute",
    options,
    // Nobody is hurt by a fan that goes on. What can push, steer or drive says true: then it may not hold its state when its driver is lost.
    moves: false,
    lease: STILL_LEASE,
    // Every port, so that two devices on one port are noticed before anything opens.
    claims: ({ pwm, tach }) => [pwmText(pwm), ...(tach === undefined ? [] : [`line ${tach}`])],
    async open(context, { pwm, tach, pulsesPerTurn, safe, startPercent, stallMs }) {
      const output = await context.board.openPwm(context.id, pwm, PERIOD_NS);
      try {
        await output.write(safe / 100);
        const input = tach === undefined ? undefined : await context.board.openInput(context.id, lineRef(tach), { pull: "up" });
        return createFan(context, output, input, { pulsesPerTurn, safe, startPercent, stallMs });
      } catch (error) {
        // What does not open keeps nothing.
        await output.close();
        throw error;
      }
    },
  });

  /**
   * @param {import("virgo-edge-agent/module").DeviceContext} context
   * @param {import("virgo-edge-agent/module").PwmOutput} output
   * @param {import("virgo-edge-agent/module").DigitalInput | undefined} input
   * @param {{ pulsesPerTurn: number, safe: number, startPercent: number, stallMs: number }} options
   * @returns {import("virgo-edge-agent/module").Device}
   */
  function createFan(context, output, input, { pulsesPerTurn, safe, startPercent, stallMs }) {
    let percent = safe;
    let rpm = 0;
    let pulses = 0;
    let movedMs = context.clock.monotonicMs();

    /** @param {number} next */
    async function drive(next) {
      if (percent < startPercent) movedMs = context.clock.monotonicMs();
      await output.write(next / 100);
      percent = next;
      context.publish("percent", percent);
      return percent;
    }

    /** @param {number} nowMs @param {number} missed */
    function measure(nowMs, missed) {
      rpm = (pulses / pulsesPerTurn) * (60_000 / (MEASURE_MS * (missed + 1)));
      if (pulses > 0 || percent < startPercent) movedMs = nowMs;
      pulses = 0;
      context.publish("rpm", rpm, 2.5 * MEASURE_MS);
      // The agent makes the device safe then, and lets nobody drive it until it is reset.
      if (nowMs - movedMs >= stallMs) {
        movedMs = nowMs;
        context.fault(new AgentError("FAULTED", `${context.id} does not turn at ${percent} %; look whether something blocks it`));
      }
    }

    input?.onEdge(
      (edge) => {
        if (!edge.rising) pulses++;
      },
      (error) => context.fault(error),
    );
    if (input !== undefined) context.every(MEASURE_MS, measure);
    context.publish("percent", percent);

    return {
      functions: {
        speed: defineFunction({
          summary: "sets the fan's speed; returns it, in percent",
          params: z.strictObject({ percent: z.number().min(0).max(100).describe("percent of full speed") }),
          effect: "actuate",
          call: (args) => drive(args.percent),
        }),
        state: defineFunction({
          summary: "what it is set to, in percent, and how fast it turns, in revolutions per minute",
          params: z.strictObject({}),
          effect: "read",
          call: () => ({ percent, rpm: input === undefined ? null : rpm }),
        }),
      },
      // Called whenever nobody drives it any more: at the end of a lease, on a fault, on an e-stop, before it is closed.
      async failsafe(to) {
        if (to === "safe") await drive(safe);
        else if (to === "off") await drive(0);
        else if (typeof to.value === "number") await drive(Math.min(100, Math.max(0, to.value)));
        else await drive(to.value ? 100 : 0);
      },
      // The agent ends what `every` began, and has made the device safe.
      async close() {
        input?.close();
        await output.close();
      },
    };
  }

  return { name: "pwm-fan", contract: MODULE_CONTRACT, drivers: [fanDriver] };
}
