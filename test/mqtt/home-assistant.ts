import { z } from "zod";

// The documented options of each platform, as far as they are used here: home-assistant.io, MQTT integrations; required ones are not optional.
const topicSchema = z.string().regex(/^[^#+\s]+$/);
const idSchema = z.string().regex(/^[A-Za-z0-9_-]+$/);

const availabilitySchema = z.array(z.strictObject({ topic: topicSchema })).min(1);

const common = {
  unique_id: idSchema,
  default_entity_id: z.string().regex(/^[a-z_]+\.[a-z0-9_-]+$/),
  name: z.string().min(1),
  availability: availabilitySchema.optional(),
  availability_mode: z.enum(["all", "any", "latest"]).optional(),
  entity_category: z.enum(["config", "diagnostic"]).optional(),
  enabled_by_default: z.boolean().optional(),
};

const templateSchema = z.string().regex(/^\{\{ value_json\["[\w-]+"\] \}\}$/);

/** What is no state of a cover, and what is no number, is complained of each time (homeassistant/components/mqtt/cover.py). */
const coverTemplateSchema = z.string().regex(/^\{\{ None if (value_json\["[\w-]+"\]) == "unknown" else \1 \}\}$/);
const positionTemplateSchema = z.string().regex(/^\{% if (value_json\["[\w-]+"\]) is number %\}\{\{ \1 \}\}\{% endif %\}$/);

const deviceClasses = {
  sensor: ["distance", "voltage", "current", "power", "temperature", "speed", "duration"],
  binary_sensor: ["moving", "connectivity", "safety", "problem"],
  cover: ["awning", "blind", "curtain", "damper", "door", "garage", "gate", "shade", "shutter", "window"],
  event: ["button", "doorbell", "motion"],
} as const;

/** Classes of sensors with a unit have one of these (homeassistant/components/sensor/const.py). */
const UNITS: Readonly<Record<string, readonly string[]>> = {
  distance: ["m"],
  voltage: ["V"],
  current: ["A"],
  power: ["W"],
  temperature: ["°C"],
  speed: ["m/s"],
  duration: ["s"],
};

const componentSchema = z.discriminatedUnion("p", [
  z
    .strictObject({
      p: z.literal("light"),
      ...common,
      schema: z.literal("json"),
      command_topic: topicSchema,
      state_topic: topicSchema,
      brightness: z.literal(true).optional(),
      brightness_scale: z.int().min(1).optional(),
      supported_color_modes: z.tuple([z.enum(["onoff", "brightness"])]),
      // Either is offered for every light unless it is said to be false.
      flash: z.literal(false),
      transition: z.literal(false),
      effect: z.literal(true).optional(),
      effect_list: z.array(z.string()).min(1).optional(),
    })
    .refine(
      ({ brightness, supported_color_modes: [mode] }) => (brightness === true) === (mode === "brightness"),
      "brightness and color mode",
    ),
  z.strictObject({
    p: z.literal("switch"),
    ...common,
    command_topic: topicSchema,
    state_topic: topicSchema,
    value_template: templateSchema,
    payload_on: z.string(),
    payload_off: z.string(),
  }),
  z
    .strictObject({
      p: z.literal("number"),
      ...common,
      command_topic: topicSchema,
      state_topic: topicSchema,
      value_template: templateSchema,
      min: z.number(),
      max: z.number(),
      step: z.number().min(0.001),
      mode: z.enum(["auto", "box", "slider"]),
      unit_of_measurement: z.string().optional(),
    })
    .refine(({ min, max }) => min < max, "min is below max"),
  z.strictObject({
    p: z.literal("cover"),
    ...common,
    device_class: z.enum(deviceClasses.cover).optional(),
    command_topic: topicSchema,
    state_topic: topicSchema,
    value_template: coverTemplateSchema,
    position_topic: topicSchema.optional(),
    position_template: positionTemplateSchema.optional(),
    set_position_topic: topicSchema.optional(),
  }),
  z
    .strictObject({
      p: z.literal("sensor"),
      ...common,
      device_class: z.enum(deviceClasses.sensor).optional(),
      state_topic: topicSchema,
      value_template: templateSchema,
      expire_after: z.int().min(0),
      unit_of_measurement: z.string().optional(),
      state_class: z.enum(["measurement", "total", "total_increasing"]).optional(),
      suggested_display_precision: z.int().min(0).optional(),
    })
    .refine(
      ({ device_class, unit_of_measurement }) =>
        device_class === undefined || UNITS[device_class]?.includes(unit_of_measurement ?? "") === true,
      "a unit of its class",
    ),
  z.strictObject({
    p: z.literal("binary_sensor"),
    ...common,
    device_class: z.enum(deviceClasses.binary_sensor).optional(),
    state_topic: topicSchema,
    value_template: templateSchema,
    expire_after: z.int().min(0),
    payload_on: z.literal("True"),
    payload_off: z.literal("False"),
  }),
  z.strictObject({ p: z.literal("button"), ...common, command_topic: topicSchema, payload_press: z.string() }),
  z.strictObject({
    p: z.literal("event"),
    ...common,
    device_class: z.enum(deviceClasses.event).optional(),
    state_topic: topicSchema,
    event_types: z.array(z.string()).min(1),
  }),
]);

const discoverySchema = z.strictObject({
  dev: z.strictObject({ ids: z.array(idSchema).min(1), name: z.string(), mf: z.string(), mdl: z.string(), sw: z.string() }),
  o: z.strictObject({ name: z.string().min(1), sw: z.string(), url: z.url() }),
  availability: availabilitySchema,
  availability_mode: z.enum(["all", "any", "latest"]),
  qos: z.literal([0, 1, 2]),
  cmps: z.record(idSchema, componentSchema),
});

/** What Home Assistant would not take of a device's discovery, one line each. */
export function checkDiscovery(config: unknown): readonly string[] {
  const result = discoverySchema.safeParse(config);
  if (!result.success) return result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  const ids = Object.values(result.data.cmps).map(({ unique_id }) => unique_id);
  return new Set(ids).size === ids.length ? [] : ["two components have one unique_id"];
}
