import { z } from "zod";

import { createTfminiDecoder } from "./tfmini-frames.ts";
import { defineFunction, type Device, type DeviceContext } from "../../agent/contract/device.ts";
import type { SerialStream } from "../../agent/contract/serial.ts";
import type { TfminiOptions } from "./lidar-options.ts";

/** Sent as strength, or as distance, when the light was too much (TFmini-S manual, "Description of output data format"): 65535, 65534 and 65532. */
const NO_MEASUREMENT = 65_532;

/** One distance. What arrives in one piece counts by its last frame: a node that is late needs the newest only. */
export function createTfmini(context: DeviceContext, stream: SerialStream, options: TfminiOptions): Device {
  const { minStrength, maxRangeM, freshMs } = options;
  let arrived = false;
  let distanceCm = 0;
  let strength = 0;
  let okUntilMs = -Infinity;
  let published: boolean | undefined;
  const decoder = createTfminiDecoder((nextDistanceCm, nextStrength) => {
    arrived = true;
    distanceCm = nextDistanceCm;
    strength = nextStrength;
  });

  function measuredM(): number | undefined {
    if (strength < minStrength || strength >= NO_MEASUREMENT || distanceCm === 0 || distanceCm > maxRangeM * 100) return undefined;
    return distanceCm / 100;
  }

  function showOk(): void {
    const ok = context.clock.monotonicMs() <= okUntilMs;
    if (ok === published) return;
    published = ok;
    context.publish("ok", ok);
  }

  function take(): void {
    arrived = false;
    const distanceM = measuredM();
    context.publish("strength", strength, freshMs);
    if (distanceM === undefined) {
      okUntilMs = -Infinity;
    } else {
      okUntilMs = context.clock.monotonicMs() + freshMs;
      context.publish("distance_m", distanceM, freshMs);
    }
    showOk();
  }

  showOk();
  const cancelLook = context.every(freshMs, showOk);
  stream.onState(() => decoder.restart());
  stream.onData((bytes) => {
    decoder.push(bytes);
    if (arrived) take();
  });
  return {
    functions: {
      state: defineFunction({
        summary:
          "the distance in metres (null when there is none that can be relied on), signal strength, frames, frames with a wrong check sum",
        params: z.strictObject({}),
        effect: "read",
        call: () => ({
          distanceM: context.clock.monotonicMs() <= okUntilMs ? distanceCm / 100 : null,
          strength,
          frames: decoder.frames,
          badFrames: decoder.badFrames,
          port: stream.reason(),
        }),
      }),
    },
    close() {
      cancelLook();
      return stream.close();
    },
  };
}
