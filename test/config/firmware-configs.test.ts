import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import t from "tap";
import { parse } from "yaml";
import { z } from "zod";

import { readBoardFile, shippedBoardFor, shippedBoardsFolder } from "../../agent/config/board-file.ts";
import { configJsonSchema } from "../../agent/config/json-schema.ts";
import { loadConfig } from "../../agent/config/load.ts";
import { createLanguage } from "../../analytics/expression.ts";
import { checkRule } from "../../analytics/rule.ts";
import { gpio } from "../../drivers/gpio/index.ts";

const FOLDER = join(import.meta.dirname, "..", "..", "firmware-configs");

const boards = readdirSync(join(FOLDER, "boards")).map((name) => join(FOLDER, "boards", name));

t.test("every sample configuration loads without a problem or a warning", (t) => {
  const language = createLanguage();
  const samples = readdirSync(FOLDER).filter((name) => name.endsWith(".yaml"));
  t.ok(samples.includes("demo.yaml"));
  for (const name of samples) {
    const { config, problems, warnings } = loadConfig(join(FOLDER, name), [gpio], {
      checkRule: (rule, source) => checkRule(rule, source, language),
    });
    t.strictSame([problems, warnings], [[], []], name);
    t.ok(config !== undefined && config.devices.length > 0, `${name} has devices`);
  }
  t.end();
});

t.test("every board file is right, and names every line of the header by chip label and offset where there are any", (t) => {
  t.equal(shippedBoardsFolder(), join(FOLDER, "boards"));
  t.equal(boards.length, 6);
  for (const file of boards) {
    const { value, problems } = readBoardFile(file);
    t.equal(problems, undefined, file);
    if (value?.gpio === "none") {
      t.same(value.lines, {}, file);
      continue;
    }
    t.same(
      Object.keys(value?.lines ?? {}),
      Array.from({ length: 28 }, (_, n) => `GPIO${n}`),
    );
    const chips = new Set(Object.values(value?.lines ?? {}).map((line) => line.split(":")[0]));
    t.equal(chips.size, 1, "one chip");
    t.ok(
      Object.entries(value?.lines ?? {}).every(([name, line]) => name.slice(4) === line.split(":")[1]),
      "GPIOn is offset n",
    );
  }
  t.end();
});

t.test("each model finds its own board file, with the revision the firmware adds", (t) => {
  const models = {
    "Raspberry Pi 3 Model B Plus Rev 1.3": "Raspberry Pi 3",
    "Raspberry Pi Compute Module 3 Rev 1.0": "Raspberry Pi 3",
    "Raspberry Pi 4 Model B Rev 1.5": "Raspberry Pi 4",
    "Raspberry Pi 400 Rev 1.0": "Raspberry Pi 4",
    "Raspberry Pi Compute Module 4 Rev 1.1": "Raspberry Pi 4",
    "Raspberry Pi 5 Model B Rev 1.0": "Raspberry Pi 5",
    "Raspberry Pi 500 Rev 1.0": "Raspberry Pi 5",
    "Raspberry Pi Compute Module 5 Rev 1.0": "Raspberry Pi 5",
    "Raspberry Pi Zero 2 W Rev 1.0": "Raspberry Pi Zero 2 W",
    "Virtual board": "Virtual board",
  };
  for (const [model, name] of Object.entries(models)) t.equal(shippedBoardFor(model)?.name, name, model);
  t.equal(shippedBoardFor("Raspberry Pi Zero W Rev 1.1"), undefined);
  t.equal(shippedBoardFor("BeagleBone Black"), undefined);
  t.end();
});

t.test("the JSON Schema accepts the samples and refuses what the loader refuses", (t) => {
  const json = configJsonSchema([gpio]);
  const schema = z.fromJSONSchema(json);
  const demo: unknown = parse(readFileSync(join(FOLDER, "demo.yaml"), "utf8"));
  t.same(schema.safeParse(demo).error, undefined);
  const accepts = (text: string) => schema.safeParse(parse(text)).success;
  t.ok(accepts("devices: { lamp: { driver: light, line: GPIO17, leaseMs: 30, onExit: hold } }"));
  t.notOk(accepts("devices: { lamp: { driver: light, line: GPIO17, leaseMs: 29 } }"), "the driver's lease");
  t.notOk(accepts("devices: { lamp: { driver: lihgt, line: GPIO17 } }"), "the drivers' names");
  t.notOk(accepts("devices: { lamp: { driver: light, lin: GPIO17 } }"), "the driver's options");
  t.notOk(accepts("devices: { lamp: { driver: relay } }"), "what the driver needs");
  t.notOk(accepts("noed: x"));
  t.end();
});

t.test("the sample lists are what the original programs read", (t) => {
  for (const name of ["virgo_client.conf", "virgo_cloud.conf"])
    t.equal(readFileSync(join(FOLDER, "etc", name), "utf8"), "127.0.0.1,127.0.0.1\n", name);
  t.match(readFileSync(join(FOLDER, "etc", "virgo_kernel_analytics.conf"), "utf8"), /^(\w+=[^,=]+,)*\w+=[^,=]+\n$/);
  t.end();
});
