import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";

import {
  createLineValues,
  decodeChipInfo,
  decodeLineEvent,
  decodeLineFd,
  decodeLineInfo,
  encodeLineConfig,
  encodeLineInfoQuery,
  encodeLineRequest,
  FLAG,
  IOCTL,
  OFFSET,
  readFirstLevel,
  SIZE,
  writeLevels,
} from "../../../../drivers/board/linux/gpio-abi.ts";

/** The same facts from the kernel's own header. */
const PROGRAM = String.raw`
#include <linux/gpio.h>
#include <stddef.h>
#include <stdio.h>
#define FACT(name, value) printf("\"%s\": %llu,\n", name, (unsigned long long)(value))
int main(void) {
  printf("{\n");
  FACT("SIZE.chipInfo", sizeof(struct gpiochip_info));
  FACT("SIZE.lineInfo", sizeof(struct gpio_v2_line_info));
  FACT("SIZE.lineConfig", sizeof(struct gpio_v2_line_config));
  FACT("SIZE.lineRequest", sizeof(struct gpio_v2_line_request));
  FACT("SIZE.lineValues", sizeof(struct gpio_v2_line_values));
  FACT("SIZE.lineEvent", sizeof(struct gpio_v2_line_event));
  FACT("OFFSET.chipInfo.name", offsetof(struct gpiochip_info, name));
  FACT("OFFSET.chipInfo.label", offsetof(struct gpiochip_info, label));
  FACT("OFFSET.chipInfo.lines", offsetof(struct gpiochip_info, lines));
  FACT("OFFSET.lineInfo.name", offsetof(struct gpio_v2_line_info, name));
  FACT("OFFSET.lineInfo.consumer", offsetof(struct gpio_v2_line_info, consumer));
  FACT("OFFSET.lineInfo.offset", offsetof(struct gpio_v2_line_info, offset));
  FACT("OFFSET.lineInfo.flags", offsetof(struct gpio_v2_line_info, flags));
  FACT("OFFSET.lineConfig.flags", offsetof(struct gpio_v2_line_config, flags));
  FACT("OFFSET.lineConfig.attributeCount", offsetof(struct gpio_v2_line_config, num_attrs));
  FACT("OFFSET.lineConfig.attributes", offsetof(struct gpio_v2_line_config, attrs));
  FACT("OFFSET.configAttribute.id", offsetof(struct gpio_v2_line_config_attribute, attr.id));
  FACT("OFFSET.configAttribute.value", offsetof(struct gpio_v2_line_config_attribute, attr.values));
  FACT("OFFSET.configAttribute.mask", offsetof(struct gpio_v2_line_config_attribute, mask));
  FACT("OFFSET.lineRequest.offsets", offsetof(struct gpio_v2_line_request, offsets));
  FACT("OFFSET.lineRequest.consumer", offsetof(struct gpio_v2_line_request, consumer));
  FACT("OFFSET.lineRequest.config", offsetof(struct gpio_v2_line_request, config));
  FACT("OFFSET.lineRequest.lineCount", offsetof(struct gpio_v2_line_request, num_lines));
  FACT("OFFSET.lineRequest.eventBufferSize", offsetof(struct gpio_v2_line_request, event_buffer_size));
  FACT("OFFSET.lineRequest.fd", offsetof(struct gpio_v2_line_request, fd));
  FACT("OFFSET.lineValues.bits", offsetof(struct gpio_v2_line_values, bits));
  FACT("OFFSET.lineValues.mask", offsetof(struct gpio_v2_line_values, mask));
  FACT("OFFSET.lineEvent.timestampNs", offsetof(struct gpio_v2_line_event, timestamp_ns));
  FACT("OFFSET.lineEvent.id", offsetof(struct gpio_v2_line_event, id));
  FACT("IOCTL.getChipInfo", GPIO_GET_CHIPINFO_IOCTL);
  FACT("IOCTL.getLineInfo", GPIO_V2_GET_LINEINFO_IOCTL);
  FACT("IOCTL.getLine", GPIO_V2_GET_LINE_IOCTL);
  FACT("IOCTL.setConfig", GPIO_V2_LINE_SET_CONFIG_IOCTL);
  FACT("IOCTL.getValues", GPIO_V2_LINE_GET_VALUES_IOCTL);
  FACT("IOCTL.setValues", GPIO_V2_LINE_SET_VALUES_IOCTL);
  FACT("FLAG.used", GPIO_V2_LINE_FLAG_USED);
  FACT("FLAG.input", GPIO_V2_LINE_FLAG_INPUT);
  FACT("FLAG.output", GPIO_V2_LINE_FLAG_OUTPUT);
  FACT("FLAG.edgeRising", GPIO_V2_LINE_FLAG_EDGE_RISING);
  FACT("FLAG.edgeFalling", GPIO_V2_LINE_FLAG_EDGE_FALLING);
  FACT("FLAG.pullUp", GPIO_V2_LINE_FLAG_BIAS_PULL_UP);
  FACT("FLAG.pullDown", GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN);
  FACT("FLAG.biasDisabled", GPIO_V2_LINE_FLAG_BIAS_DISABLED);
  printf("\"end\": 0}\n");
}`;

/** `IOCTL.getLine` of nested constants. */
function flatten(name: string, facts: Readonly<Record<string, unknown>>): [string, unknown][] {
  return Object.entries(facts).flatMap(([key, value]): [string, unknown][] => {
    const path = `${name}.${key}`;
    return typeof value === "object" && value !== null ? flatten(path, value as Record<string, unknown>) : [[path, value]];
  });
}

const ours = Object.fromEntries([
  ...flatten("SIZE", SIZE),
  ...flatten("OFFSET", OFFSET),
  ...flatten("IOCTL", IOCTL),
  ...flatten("FLAG", FLAG),
]);

t.test("sizes, offsets, ioctl numbers and flags are those of the kernel's header", (t) => {
  if (spawnSync("gcc", ["--version"]).error !== undefined) {
    t.comment("gcc is not here, so the header was not asked; apt-get install gcc libc6-dev to have it compared");
    t.equal(IOCTL.getLine, 0xc250b407);
  } else {
    const folder = t.testdir();
    writeFileSync(join(folder, "abi.c"), PROGRAM);
    execFileSync("gcc", ["-o", join(folder, "abi"), join(folder, "abi.c")]);
    t.same({ ...ours, end: 0 }, JSON.parse(execFileSync(join(folder, "abi"), { encoding: "utf8" })));
  }
  t.end();
});

t.test("a chip's information is read up to the end of each text", (t) => {
  const bytes = Buffer.alloc(SIZE.chipInfo);
  bytes.write("gpiochip0", 0);
  // A label may fill its field: then no NUL ends it.
  bytes.write("x".repeat(32), 32);
  bytes.writeUInt32LE(54, 64);
  t.same(decodeChipInfo(bytes), { name: "gpiochip0", label: "x".repeat(32), lines: 54 });
  t.end();
});

t.test("a line's information tells its name, who holds it and whether", (t) => {
  const bytes = encodeLineInfoQuery(17);
  t.equal(bytes.length, SIZE.lineInfo);
  t.equal(bytes.readUInt32LE(OFFSET.lineInfo.offset), 17);
  bytes.write("GPIO17", OFFSET.lineInfo.name);
  bytes.write("virgo lamp", OFFSET.lineInfo.consumer);
  bytes.writeUInt32LE(FLAG.used | FLAG.output, OFFSET.lineInfo.flags);
  t.same(decodeLineInfo(bytes), { name: "GPIO17", consumer: "virgo lamp", used: true });
  t.same(decodeLineInfo(encodeLineInfoQuery(3)), { name: "", consumer: "", used: false });
  t.end();
});

t.test("a request for outputs carries their levels, so that the kernel sets value and direction together", (t) => {
  const bytes = encodeLineRequest([17, 27, 4], "virgo lamp", { flags: FLAG.output, initial: [true, false, true] }, 256);
  t.equal(bytes.length, SIZE.lineRequest);
  t.same(
    [0, 4, 8, 12].map((at) => bytes.readUInt32LE(at)),
    [17, 27, 4, 0],
  );
  t.equal(bytes.toString("latin1", OFFSET.lineRequest.consumer, OFFSET.lineRequest.consumer + 11), "virgo lamp\0");
  t.equal(bytes.readUInt32LE(OFFSET.lineRequest.lineCount), 3);
  t.equal(bytes.readUInt32LE(OFFSET.lineRequest.eventBufferSize), 256);
  const config = bytes.subarray(OFFSET.lineRequest.config);
  t.equal(config.readBigUInt64LE(OFFSET.lineConfig.flags), BigInt(FLAG.output));
  t.equal(config.readUInt32LE(OFFSET.lineConfig.attributeCount), 1);
  const attribute = config.subarray(OFFSET.lineConfig.attributes);
  t.equal(attribute.readUInt32LE(OFFSET.configAttribute.id), 2, "GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES");
  t.equal(attribute.readBigUInt64LE(OFFSET.configAttribute.value), 0b101n);
  t.equal(attribute.readBigUInt64LE(OFFSET.configAttribute.mask), 0b111n);
  bytes.writeInt32LE(23, OFFSET.lineRequest.fd);
  t.equal(decodeLineFd(bytes), 23);
  t.end();
});

t.test("an input's debounce is an attribute of the configuration", (t) => {
  const config = encodeLineConfig({ flags: FLAG.input | FLAG.pullUp, debounceUs: 5000 }, 1);
  t.equal(config.length, SIZE.lineConfig);
  t.equal(config.readUInt32LE(OFFSET.lineConfig.attributeCount), 1);
  const attribute = config.subarray(OFFSET.lineConfig.attributes);
  t.equal(attribute.readUInt32LE(OFFSET.configAttribute.id), 3, "GPIO_V2_LINE_ATTR_ID_DEBOUNCE");
  t.equal(attribute.readUInt32LE(OFFSET.configAttribute.value), 5000);
  t.equal(attribute.readBigUInt64LE(OFFSET.configAttribute.mask), 1n);
  t.equal(encodeLineConfig({ flags: FLAG.input }, 1).readUInt32LE(OFFSET.lineConfig.attributeCount), 0);
  t.end();
});

t.test("a consumer that is too long is cut at a character", (t) => {
  const consumer = (text: string): string => {
    const bytes = encodeLineRequest([0], text, { flags: FLAG.input });
    return bytes.toString("utf8", OFFSET.lineRequest.consumer, OFFSET.lineRequest.consumer + 32).replace(/\0+$/, "");
  };
  t.equal(consumer(`virgo ${"a".repeat(40)}`), `virgo ${"a".repeat(25)}`);
  t.equal(consumer(`virgo ${"ä".repeat(20)}`), `virgo ${"ä".repeat(12)}`);
  t.end();
});

t.test("levels are bits, up to the 64 lines of a request", (t) => {
  for (const count of [1, 2, 31, 32, 33, 63, 64]) {
    const values = createLineValues(count);
    t.equal(values.readBigUInt64LE(OFFSET.lineValues.mask), (1n << BigInt(count)) - 1n, `mask of ${count}`);
    for (let i = 0; i < count; i++) {
      const levels = Array.from({ length: count }, (_, line) => line === i);
      writeLevels(values, levels);
      if (values.readBigUInt64LE(OFFSET.lineValues.bits) !== 1n << BigInt(i)) t.fail(`bit ${i} of ${count}`);
    }
    t.equal(readFirstLevel(values), count === 1);
    writeLevels(
      values,
      Array.from({ length: count }, () => true),
    );
    t.equal(values.readBigUInt64LE(OFFSET.lineValues.bits), (1n << BigInt(count)) - 1n);
    t.equal(readFirstLevel(values), true);
  }
  t.end();
});

t.test("events are told apart and stamped in nanoseconds", (t) => {
  const bytes = Buffer.alloc(2 * SIZE.lineEvent);
  bytes.writeBigUInt64LE(123_456_789_012_345n, 0);
  bytes.writeUInt32LE(1, OFFSET.lineEvent.id);
  bytes.writeBigUInt64LE(123_456_789_999_999n, SIZE.lineEvent);
  bytes.writeUInt32LE(2, SIZE.lineEvent + OFFSET.lineEvent.id);
  t.same(decodeLineEvent(bytes, 0), { rising: true, timestampNs: 123_456_789_012_345n });
  t.same(decodeLineEvent(bytes, SIZE.lineEvent), { rising: false, timestampNs: 123_456_789_999_999n });
  t.end();
});
