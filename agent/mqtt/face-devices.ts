import { NODE_TOPICS } from "./topics.ts";
import type { EntityDevice } from "../contract/entity-device.ts";

/** A device as it is reported; `described` for those of modules that are loaded at run time, as long as they are open. */
export interface ReportedDevice {
  readonly id: string;
  readonly described?: EntityDevice | undefined;
}

export interface FaceChange {
  /** There are others than before, or they are something else. */
  readonly changed: boolean;
  /** Devices that are not there any more. */
  readonly gone: readonly string[];
}

/** The devices that are seen over MQTT: those of the configuration always, those of modules as long as these are loaded. */
export interface FaceDevices {
  all(): readonly EntityDevice[];
  get(id: string): EntityDevice | undefined;
  /** Takes note of what is reported. Who is not in the report stays: the device host may be on its way back. */
  look(reported: readonly ReportedDevice[]): FaceChange;
}

export function createFaceDevices(configured: readonly EntityDevice[]): FaceDevices {
  const devices = new Map<string, EntityDevice>();
  /** Of those of modules: by what it is seen whether one is another. */
  const texts = new Map<string, string>();
  for (const device of configured) if (!NODE_TOPICS.has(device.id)) devices.set(device.id, device);
  const lasting = new Set(devices.keys());

  return {
    all: () => [...devices.values()],
    get: (id) => devices.get(id),
    look(reported) {
      const gone: string[] = [];
      let changed = false;
      for (const { id, described } of reported) {
        if (lasting.has(id) || NODE_TOPICS.has(id)) continue;
        const text = described === undefined ? undefined : JSON.stringify(described);
        if (text === texts.get(id)) continue;
        changed = true;
        if (described === undefined || text === undefined) {
          devices.delete(id);
          texts.delete(id);
          gone.push(id);
        } else {
          devices.set(id, described);
          texts.set(id, text);
        }
      }
      return { changed, gone };
    },
  };
}
