import { toJsonSchema } from "./expectation.ts";
import { configSchema, deviceCommonSchema } from "./schema.ts";
import type { DeviceModule, Driver } from "../contract/device.ts";
import type { JsonSchema } from "./expectation.ts";

/** The configuration as JSON Schema (draft 2020-12), for editors: every driver's devices have that driver's options. */
export function configJsonSchema(modules: readonly DeviceModule[]): JsonSchema {
  const schema = toJsonSchema(configSchema);
  const devices = modules.flatMap((module) => module.drivers.map(deviceSchema));
  return {
    ...schema,
    title: "VIRGO edge agent configuration",
    properties: { ...schema.properties, devices: { ...propertyOf(schema, "devices"), additionalProperties: { oneOf: devices } } },
  };
}

function deviceSchema(driver: Driver): JsonSchema {
  const common = toJsonSchema(deviceCommonSchema);
  const own = toJsonSchema(driver.options);
  return {
    type: "object",
    title: driver.name,
    description: driver.summary,
    properties: { ...own.properties, ...common.properties, driver: { type: "string", const: driver.name }, leaseMs: leaseSchema(driver) },
    required: ["driver", ...(own.required ?? [])],
    additionalProperties: false,
  };
}

function leaseSchema(driver: Driver): JsonSchema {
  const { defaultMs, floorMs, ceilingMs } = driver.lease;
  return {
    type: "integer",
    minimum: floorMs,
    maximum: ceilingMs,
    default: defaultMs,
    description: "lease of a command that asks for none, milliseconds",
  };
}

function propertyOf(schema: JsonSchema, name: string): JsonSchema {
  const property = schema.properties?.[name];
  return typeof property === "object" ? property : {};
}
