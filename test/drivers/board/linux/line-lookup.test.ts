import t from "tap";

import { lineRef } from "../../../../agent/contract/board.ts";
import { findLine, lineKey, type GpioChip } from "../../../../drivers/board/linux/line-lookup.ts";
import { expectCode } from "../../../contract/board.ts";

function chip(label: string, path: string, lineNames: readonly string[], header = false): GpioChip {
  return { label, path, lines: 32, lineNames, header };
}

const header = chip("pinctrl-bcm2711", "/dev/gpiochip1", ["ID_SDA", "ID_SCL", "GPIO2", "GPIO3", "", "ACT_LED"], true);
const expander = chip("raspberrypi-exp-gpio", "/dev/gpiochip0", ["BT_ON", "WL_ON", "ACT_LED", "GPIO99", "GPIO99"]);
const chips = [expander, header];

t.test("a line is found by its name, on whichever chip it is", (t) => {
  t.same(findLine(lineRef("GPIO3"), chips, {}), { chip: header, offset: 3 });
  t.same(findLine(lineRef("WL_ON"), chips, {}), { chip: expander, offset: 1 });
  t.end();
});

t.test("a line is found by chip label and offset, named or not", (t) => {
  t.same(findLine(lineRef("pinctrl-bcm2711:4"), chips, {}), { chip: header, offset: 4 });
  t.same(findLine(lineRef("raspberrypi-exp-gpio:31"), chips, {}), { chip: expander, offset: 31 });
  t.end();
});

t.test("the pin map comes before the kernel's names, and names what has none", (t) => {
  const pins = { LAMP: "pinctrl-bcm2711:4", GPIO3: "raspberrypi-exp-gpio:7" };
  t.same(findLine(lineRef("LAMP"), chips, pins), { chip: header, offset: 4 });
  t.same(findLine(lineRef("GPIO3"), chips, pins), { chip: expander, offset: 7 });
  t.end();
});

t.test("a name on several chips is the header's", (t) => {
  t.same(findLine(lineRef("ACT_LED"), chips, {}), { chip: header, offset: 5 });
  t.end();
});

t.test("a name or label that fits several chips is refused and the chips are named", async (t) => {
  await expectCode(t, "ARGUMENT", ["GPIO99", "raspberrypi-exp-gpio:3", "raspberrypi-exp-gpio:4"], () =>
    findLine(lineRef("GPIO99"), chips, {}),
  );
  const twins = [chip("pca9534", "/dev/gpiochip2", []), chip("pca9534", "/dev/gpiochip3", [])];
  await expectCode(t, "ARGUMENT", ["pca9534:1", "/dev/gpiochip2", "/dev/gpiochip3"], () => findLine(lineRef("pca9534:1"), twins, {}));
});

t.test("what is not there is UNKNOWN, with what may have been meant", async (t) => {
  await expectCode(t, "UNKNOWN", ["GPOI3", "did you mean GPIO3?", "pinctrl-bcm2711"], () => findLine(lineRef("GPOI3"), chips, {}));
  await expectCode(t, "UNKNOWN", ["LAMPE", "did you mean LAMP?"], () => findLine(lineRef("LAMPE"), chips, { LAMP: "pinctrl-bcm2711:4" }));
  await expectCode(t, "UNKNOWN", ["pinctrl-bcm2712:4", "did you mean pinctrl-bcm2711?"], () =>
    findLine(lineRef("pinctrl-bcm2712:4"), chips, {}),
  );
  await expectCode(t, "UNKNOWN", ["pinctrl-bcm2711:32", "0 to 31"], () => findLine(lineRef("pinctrl-bcm2711:32"), chips, {}));
  await expectCode(t, "UNKNOWN", ["gpiochip0:4", "chips here: raspberrypi-exp-gpio, pinctrl-bcm2711"], () =>
    findLine(lineRef("gpiochip0:4"), chips, {}),
  );
  await expectCode(t, "UNKNOWN", ["GPIO17", "no line here has a name", "plain:17"], () =>
    findLine(lineRef("GPIO17"), [chip("plain", "/dev/gpiochip0", [])], {}),
  );
  await expectCode(t, "UNKNOWN", ["GPIO17"], () => findLine(lineRef("GPIO17"), [], {}));
  await expectCode(t, "UNKNOWN", ["a:17", "there are no GPIO chips"], () => findLine(lineRef("a:17"), [], {}));
  await expectCode(t, "UNKNOWN", ["constructor"], () => findLine(lineRef("constructor"), chips, {}));
});

t.test("a line has one key however it was named", (t) => {
  const key = (text: string, all: readonly GpioChip[] = chips): string => lineKey(findLine(lineRef(text), all, {}), all);
  t.equal(key("GPIO3"), "line GPIO3");
  t.equal(key("pinctrl-bcm2711:3"), "line GPIO3");
  t.equal(key("pinctrl-bcm2711:4"), "line pinctrl-bcm2711:4", "without a name");
  t.equal(key("ACT_LED"), "line pinctrl-bcm2711:5", "with a name that others have too");
  const twins = [chip("twin", "/dev/gpiochip2", ["", "A"]), chip("twin", "/dev/gpiochip3", ["", "B"])];
  const [first] = twins as [GpioChip];
  t.equal(lineKey({ chip: first, offset: 0 }, twins), "line twin:0 of /dev/gpiochip2", "on one of two chips of the same label");
  t.end();
});
