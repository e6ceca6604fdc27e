import { z } from "zod";

import { lineRef, lineRefSchema, lineText, pwmRefSchema, pwmText } from "./board.ts";
import { defineDriver, defineFunction, MODULE_CONTRACT, MOTION_LEASE, STILL_LEASE } from "./device.ts";
import { AgentError } from "./errors.ts";
import { i2cAddressSchema, i2cBusSchema, i2cText } from "./i2c.ts";

/**
 * Everything of the contract that is more than a type. A module that exports a function is given this, so that it runs wherever it lies, without
 * packages of its own, on the agent's zod and with the agent's AgentError.
 */
export const moduleKit = Object.freeze({
  z,
  AgentError,
  MODULE_CONTRACT,
  MOTION_LEASE,
  STILL_LEASE,
  defineDriver,
  defineFunction,
  lineRef,
  lineRefSchema,
  lineText,
  pwmRefSchema,
  pwmText,
  i2cAddressSchema,
  i2cBusSchema,
  i2cText,
});

export type ModuleKit = typeof moduleKit;
export type { Board, DigitalInput, DigitalOutput, DigitalOutputs, Edge, InputOptions, LineRef, PwmOutput, PwmRef } from "./board.ts";
export type { CanChannel, CanFrame } from "./can.ts";
export type { Cancel, Clock } from "./clock.ts";
export type { Device, DeviceContext, DeviceFunction, DeviceModule, Driver, LeaseRange, SafeTarget } from "./device.ts";
export type { Entity, EntityCall } from "./entity.ts";
export type { I2cDevice } from "./i2c.ts";
export type { Eventually, Value } from "./value.ts";
