import type { VerbDoc } from "../contract/request.ts";

/** What a host answers. */
export const DEVICE_VERBS: readonly VerbDoc[] = [
  {
    verb: "CLONE",
    usage: "[NODE id|ANY] [LEASE ms] [DEADLINE ms] [PRIORITY 0-255] [SEQ n] device.function [arg …]",
    summary: "call a device's function; answers its value",
  },
  { verb: "DEVICES", usage: "", summary: "every device with its state and functions" },
  { verb: "DESCRIBE", usage: "device", summary: "one device: options, functions with parameters and ranges, holder, last events" },
  { verb: "RESET", usage: "device", summary: "make a faulted device safe and usable again, or try to open a failed one" },
  { verb: "ESTOP", usage: "[RESET]", summary: "latch the emergency stop: everything goes safe; RESET clears the latch" },
];

const MODULE_VERBS: readonly VerbDoc[] = [
  { verb: "MODULES", usage: "", summary: "every module with its version, source, state, drivers and devices" },
  {
    verb: "INSMOD",
    usage: "file-or-package",
    summary: "load a module and open the devices that waited for its drivers; answers the module",
  },
  { verb: "RMMOD", usage: "module", summary: "make its devices safe, close them, and forget the module" },
  {
    verb: "RELOAD",
    usage: "module",
    summary: "make its devices safe, close them, load its code anew and open them again; answers the module",
  },
];

/** What a host answers that can load modules. */
export const HOST_VERBS: readonly VerbDoc[] = [...DEVICE_VERBS, ...MODULE_VERBS];
