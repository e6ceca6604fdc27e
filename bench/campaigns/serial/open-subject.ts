import { createDeviceScope } from "../../../agent/host/device-context.ts";
import { createFakeLog } from "../../../test/helpers/fake-log.ts";
import { createOffers } from "../../../agent/host/offers.ts";
import { openDevice } from "../../../test/helpers/fake-device-context.ts";
import type { Board } from "../../../agent/contract/board.ts";
import type { Clock } from "../../../agent/contract/clock.ts";
import type { Device, Driver } from "../../../agent/contract/device.ts";
import type { Subject } from "./subjects.ts";

/** A subject's device at work, with the one on its pins. */
export interface OpenedSubject {
  readonly device: Device;
  /** `name=value`, in order, without the devices' names. */
  readonly published: readonly string[];
  /** Of the device that has the port; one on its pins may well lose these. */
  readonly faults: readonly unknown[];
  close(): Promise<void>;
}

/** Opens the driver as the registry does, and then what is on its pins. */
export async function openSubject(subject: Subject, board: Board, clock: Clock, path: string): Promise<OpenedSubject> {
  const published: string[] = [];
  const faults: unknown[] = [];
  const offers = createOffers();
  const variables = {
    get: () => undefined,
    set(name: string, value: unknown) {
      published.push(`${name.slice(name.indexOf(".") + 1)}=${String(value)}`);
    },
  };

  async function open(id: string, driver: Driver, options: Readonly<Record<string, unknown>>, lost: (error: unknown) => void) {
    const scope = createDeviceScope({
      id,
      board,
      clock,
      variables,
      offers,
      log: createFakeLog(),
      fault: (error) => faults.push(error),
      lost,
    });
    const device = await openDevice(driver, scope.context, options);
    return {
      device,
      async close() {
        await device.close();
        await scope.end();
      },
    };
  }

  const { driver, options, onPins } = subject;
  const main = await open("x", driver, { path, retryMinMs: 10, retryMaxMs: 100, ...options }, (error) => faults.push(error));
  const pins = onPins === undefined ? undefined : await open("pins", onPins.driver, onPins.options, () => undefined);
  return {
    device: main.device,
    published,
    faults,
    async close() {
      await pins?.close();
      await main.close();
    },
  };
}
