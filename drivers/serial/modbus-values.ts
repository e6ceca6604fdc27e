import { z } from "zod";

import { AgentError } from "../../agent/contract/errors.ts";
import { MODBUS, readRequest, writeCoilRequest, writeRegistersRequest, type ModbusRequest } from "./modbus-frames.ts";

const DEFAULT_POLL_MS = 1000;

const numberSchema = z.number().min(-1e15).max(1e15);

/** One value of the instrument, as its manual's register table has it. */
export const registerSchema = z
  .strictObject({
    unitId: z.int().min(1).max(247).default(1).describe("the instrument's number on the line"),
    kind: z.enum(["holding", "input", "coil", "discrete"]),
    address: z.int().min(0).max(65_535).describe("address on the line, from 0; manuals that count from 40001 mean 0"),
    type: z.enum(["u16", "i16", "u32", "i32", "f32", "bool"]).default("u16"),
    wordOrder: z.enum(["high-first", "low-first"]).default("high-first").describe("of the two registers of u32, i32 and f32"),
    scale: numberSchema
      .refine((scale) => scale !== 0, { error: "0 leaves nothing of the value" })
      .default(1)
      .describe("value = number × scale + offset"),
    offset: numberSchema.default(0),
    unit: z.string().max(20).default("").describe("unit of the value, for people"),
    range: z
      .tuple([numberSchema, numberSchema])
      .optional()
      .describe("lowest and highest value: others are not published, and refused when written"),
    pollMs: z
      .int()
      .min(0)
      .max(3_600_000)
      .default(DEFAULT_POLL_MS)
      .describe("from one reading to the next, milliseconds; 0: only when asked"),
    write: z.boolean().default(false).describe("whether it may be written"),
    safe: z
      .union([numberSchema, z.boolean(), z.literal("keep")])
      .optional()
      .describe("what is written to make it safe, and whenever the port opens; keep: nothing, for what moves nothing"),
  })
  .check(({ value, issues }) => {
    for (const [path, message] of mistakes(value)) issues.push({ code: "custom", path: [path], message, input: value });
  });

export type ModbusRegister = z.output<typeof registerSchema>;

type Mistake = readonly [path: string, message: string];

function isBit({ kind }: Pick<ModbusRegister, "kind">): boolean {
  return kind === "coil" || kind === "discrete";
}

function mistakes(register: ModbusRegister): readonly Mistake[] {
  const { type, range, write, safe, scale, offset } = register;
  const found: Mistake[] = [];
  if (isBit(register) !== (type === "bool")) found.push(["type", "coils and discrete inputs are bool, registers are not"]);
  if (type === "bool" && (scale !== 1 || offset !== 0 || range !== undefined)) found.push(["type", "bool takes no scale, offset or range"]);
  if (range !== undefined && range[0] > range[1]) found.push(["range", "the lowest value comes first"]);
  if (write) found.push(...writeMistakes(register));
  else if (safe !== undefined) found.push(["safe", "only what may be written can be made safe"]);
  return found;
}

function writeMistakes(register: ModbusRegister): readonly Mistake[] {
  const { kind, range, safe } = register;
  const found: Mistake[] = [];
  if (kind === "input" || kind === "discrete") found.push(["write", "inputs cannot be written; holding registers and coils can"]);
  if (!isBit(register) && range === undefined) found.push(["range", "what may be written needs a range"]);
  if (safe === undefined) found.push(["safe", "what may be written needs a safe value, or keep when it moves nothing"]);
  else if (safe !== "keep" && (typeof safe === "boolean") !== isBit(register)) {
    found.push(["safe", "a bool for a coil, a number for a register"]);
  }
  if (typeof safe === "number" && range !== undefined && (safe < range[0] || safe > range[1])) found.push(["safe", "outside of the range"]);
  return found;
}

const READ_CODES = {
  holding: MODBUS.readHoldingRegisters,
  input: MODBUS.readInputRegisters,
  coil: MODBUS.readCoils,
  discrete: MODBUS.readDiscreteInputs,
} as const;

/** 16 bits as they are; two registers together. */
function isWide({ type }: ModbusRegister): boolean {
  return type === "u32" || type === "i32" || type === "f32";
}

export function readRequestOf(register: ModbusRegister): ModbusRequest {
  return readRequest(register.unitId, READ_CODES[register.kind], register.address, isWide(register) ? 2 : 1);
}

function rawNumber(register: ModbusRegister, data: Uint8Array): number {
  const view = new DataView(new ArrayBuffer(4));
  if (!isWide(register)) {
    view.setUint16(0, ((data[0] as number) << 8) | (data[1] as number));
    return register.type === "i16" ? view.getInt16(0) : view.getUint16(0);
  }
  const order = register.wordOrder === "high-first" ? [0, 1, 2, 3] : [2, 3, 0, 1];
  order.forEach((from, to) => {
    view.setUint8(to, data[from] as number);
  });
  if (register.type === "f32") return view.getFloat32(0);
  return register.type === "i32" ? view.getInt32(0) : view.getUint32(0);
}

/** The value a reply carries; undefined for one that cannot be: NaN, infinity, outside the range. */
export function valueOf(register: ModbusRegister, data: Uint8Array): number | boolean | undefined {
  if (register.type === "bool") return ((data[0] as number) & 1) === 1;
  const value = rawNumber(register, data) * register.scale + register.offset;
  const [lowest, highest] = register.range ?? [-Number.MAX_VALUE, Number.MAX_VALUE];
  return value >= lowest && value <= highest ? value : undefined;
}

const LIMITS = { u16: [0, 0xffff], i16: [-0x8000, 0x7fff], u32: [0, 0xffff_ffff], i32: [-0x8000_0000, 0x7fff_ffff] } as const;

function wordsOf(name: string, register: ModbusRegister, value: number): readonly number[] {
  const { type, scale, offset, wordOrder } = register;
  const view = new DataView(new ArrayBuffer(4));
  const raw = (value - offset) / scale;
  if (type === "f32") {
    view.setFloat32(0, raw);
    if (!Number.isFinite(view.getFloat32(0))) throw new AgentError("LIMIT", `${name}: ${value} is too large for f32`);
  } else if (type !== "bool") {
    const whole = Math.round(raw);
    const [lowest, highest] = LIMITS[type];
    if (!(whole >= lowest && whole <= highest))
      throw new AgentError("LIMIT", `${name}: ${value} makes ${whole}, and ${type} holds ${lowest} to ${highest}`);
    view.setInt32(0, whole);
  }
  if (!isWide(register)) return [view.getUint16(2)];
  const words = [view.getUint16(0), view.getUint16(2)];
  return wordOrder === "high-first" ? words : words.reverse();
}

/** Throws LIMIT outside the range, ARGUMENT for a bool where a number belongs, and the other way round. */
export function writeRequestOf(name: string, register: ModbusRegister, value: number | boolean): ModbusRequest {
  const { unitId, address, range, type, unit } = register;
  if (typeof value === "boolean" || type === "bool") {
    if (typeof value !== "boolean" || type !== "bool") throw new AgentError("ARGUMENT", `${name} is ${type}, and ${String(value)} is not`);
    return writeCoilRequest(unitId, address, value);
  }
  if (range !== undefined && !(value >= range[0] && value <= range[1])) {
    throw new AgentError("LIMIT", `${name}: ${value} is outside of ${range[0]} to ${range[1]}${unit === "" ? "" : ` ${unit}`}`);
  }
  return writeRegistersRequest(unitId, address, wordsOf(name, register, value));
}
