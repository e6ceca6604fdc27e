import type { z } from "zod";

import type { Entity } from "./entity.ts";
import type { Board, DigitalInput, DigitalOutputs, InputOptions, PwmOutput } from "./board.ts";
import type { AgentError } from "./errors.ts";
import type { Cancel, Clock } from "./clock.ts";
import type { Eventually, Value } from "./value.ts";
import type { Variable, VariableValue } from "./variable.ts";

/** Something a client or a rule can call. */
export interface DeviceFunction<Args extends z.ZodObject = z.ZodObject> {
  /** One line: effect, unit, what is returned. */
  readonly summary: string;
  /** Named arguments, in the order of the call form. Numbers carry their range, and their unit in the name or description. */
  readonly params: Args;
  /** `actuate` needs a lease and passes the supervisor; `read` is answered always, also while faulted. */
  readonly effect: "read" | "actuate";
  /** `signal` aborts when the device goes safe or closes. Throws or rejects AgentError; anything else becomes a fault. */
  call(args: z.output<Args>, signal: AbortSignal): Eventually<Value>;
}

/** Checks the arguments' types where the function is written; devices hold the erased form. */
export function defineFunction<Args extends z.ZodObject>(definition: DeviceFunction<Args>): DeviceFunction {
  return definition;
}

/** The state a device is told to take when it is no longer driven: its declared safe state, de-energised, or a value its driver understands. */
export type SafeTarget = "safe" | "off" | { readonly value: number | boolean };

/** One opened thing. */
export interface Device {
  readonly functions: Readonly<Record<string, DeviceFunction>>;
  /** Takes the state `to`, whatever goes on. Must not wait for a call in progress. Absent on what cannot move anything. */
  failsafe?(to: SafeTarget): Eventually<void>;
  /** Gives back every port. The supervisor has made the device safe before. */
  close(): Eventually<void>;
  /** At an end in order, before `close`: resolves when what `failsafe` began to stop stands, or after `restMs`. */
  rest?(): Promise<void>;
  /** How long that may take, milliseconds; 0 when absent. */
  readonly restMs?: number | undefined;
}

/** Who has a port of an offered chip. */
export interface PortOwner {
  readonly id: string;
  /** Told when the port can no longer be relied on, each time: the owner faults until the chip is ready again. */
  lost(error: AgentError): void;
}

/**
 * Lines and PWM channels that a device has and others use as if the board had them, by the id of the device: `line: "uno:13"`. What the board promises of
 * its ports holds for these: exclusive (IN_USE names the owner), UNKNOWN for what is not there, NOT_READY while nothing can be opened.
 */
export interface OfferedChip {
  openOutputs(owner: PortOwner, offsets: readonly number[], initial: readonly boolean[]): Promise<DigitalOutputs>;
  openInput(owner: PortOwner, offset: number, options: InputOptions): Promise<DigitalInput>;
  openPwm(owner: PortOwner, channel: number, periodNs: number): Promise<PwmOutput>;
  /**
   * Calls `listener` each time its ports can be used after they could not. Those that were open then have been set up as their owners last wanted them.
   * Without it nobody learns of that: who could not open stays as it is, until RESET.
   */
  onReady?(listener: () => void): Cancel;
}

/** What a driver gets to work with; nothing else of the agent is visible to it. */
export interface DeviceContext {
  /** The name in the configuration, and the owner of every port the device opens. */
  readonly id: string;
  readonly board: Board;
  readonly clock: Clock;
  /**
   * Publishes `<id>.<name>` as a variable. State that changes only when it is published holds until then; what is measured again and again
   * says with `freshMs` how long one measurement may be relied on.
   */
  publish(name: string, value: VariableValue, freshMs?: number): void;
  /** Reports that the device can no longer be trusted; the supervisor makes it safe. */
  fault(error: unknown): void;
  variable(name: string): Variable | undefined;
  /**
   * Calls `tick` every `periodMs` (1 or more) on absolute deadlines, so that it neither drifts nor catches up in bursts: `missed` deadlines that have
   * passed since the last call are left out. Ends with the device. What `tick` throws is the device's fault.
   */
  every(periodMs: number, tick: (nowMs: number, missed: number) => void): Cancel;
  /** Lets other devices use the chip's ports under this device's id, until it closes or cancels. Throws NOT_READY in the motion thread. */
  offer(chip: OfferedChip): Cancel;
}

/** How long a command may stand without being repeated. */
export interface LeaseRange {
  readonly defaultMs: number;
  readonly floorMs: number;
  readonly ceilingMs: number;
}

/** Lights and cameras: Viam's session, 2 s, from 30 ms to one minute. */
export const STILL_LEASE: LeaseRange = { defaultMs: 2000, floorMs: 30, ceilingMs: 60_000 };

/** What moves: openpilot's joystick 0.2 s; ArduPilot allows no command without a time-out, 5 s at the most. */
export const MOTION_LEASE: LeaseRange = { defaultMs: 200, floorMs: 30, ceilingMs: 5000 };

/** Stateless recipe for a kind of device. */
export interface Driver<Options extends z.ZodObject = z.ZodObject> {
  /** The word in the configuration. */
  readonly name: string;
  readonly summary: string;
  readonly options: Options;
  /** Whether it can move something: then `onLoss: hold` is refused. */
  readonly moves: boolean;
  /** False for what only measures: nobody opens it to make it safe. Absent on everything with a failsafe. */
  readonly actuates?: false;
  readonly lease: LeaseRange;
  /**
   * `motion`: opened in the device host's motion thread, where nothing else runs than such devices, on a board of that thread's own. There `tick` of
   * `every` is on time to a fraction of a millisecond, and the lease's end is seen even while the rest of the device host is busy.
   */
  readonly thread?: "motion";
  /** Its devices offer a chip to others: they are opened before those. */
  readonly offers?: true;
  /** Names of the variables the device asks its context for; those of the motion thread get no others. */
  reads?(options: z.output<Options>): readonly string[];
  /** Every port the options name, as text (`line GPIO17`): two devices on one port is an error before anything opens. */
  claims(options: z.output<Options>): readonly string[];
  /** What a device with these options is to people and other systems; only functions for CLONE and variables when absent. */
  entities?(options: z.output<Options>): readonly Entity[];
  /** Opens the ports in the declared safe state. Rejects with AgentError; what was opened before that is given back. */
  open(context: DeviceContext, options: z.output<Options>): Promise<Device>;
}

/** Checks a driver against its own options where it is written; registries hold the erased form. */
export function defineDriver<Options extends z.ZodObject>(definition: Driver<Options>): Driver {
  return definition;
}

/** The version of this file's interfaces; a module for another one is refused. */
export const MODULE_CONTRACT = 1;

/** The drivers of one folder or package: the modern kernel module. */
export interface DeviceModule {
  readonly name: string;
  /** `MODULE_CONTRACT` of the agent it was written for. */
  readonly contract: typeof MODULE_CONTRACT;
  /** Of the code, as MODULES shows it. */
  readonly version?: string;
  readonly drivers: readonly Driver[];
}

/** What happens to a device when nobody drives it any more; `hold` leaves it as it is. */
export type LossAction = SafeTarget | "hold";

/** What the configuration says about any device, whatever its driver. */
export interface DevicePolicy {
  readonly enabled: boolean;
  /** Lease of a command that asks for none; the driver's default when absent. */
  readonly leaseMs?: number | undefined;
  readonly onLoss: LossAction;
  readonly onExit: LossAction;
  /** Among callers of equal priority the holder keeps the device; otherwise the latest command wins. */
  readonly exclusive: boolean;
  /** Devices of one motion group go safe together. */
  readonly group?: string | undefined;
  /** Time limit of one call or failsafe, milliseconds; beyond it the device faults. */
  readonly callMs: number;
}

/** One device of the configuration, checked, not yet opened. */
export interface DeviceSpec {
  readonly id: string;
  readonly driver: Driver;
  /** What the driver's options schema made of the configuration. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly policy: DevicePolicy;
}
