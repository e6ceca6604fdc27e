import t from "tap";

import { jsonText, tableText, valueText } from "../../agent/cli/print.ts";

t.test("a plain value is printed as it is", (t) => {
  t.equal(valueText("low"), "low\n");
  t.equal(valueText(11.5), "11.5\n");
  t.equal(valueText(123456789012345678901n), "123456789012345678901\n");
  t.equal(valueText(null), "-\n");
  t.equal(valueText(Uint8Array.of(1, 255)), "0x01ff\n");
  t.equal(valueText([1, "a", true]), "1, a, true\n");
  t.equal(valueText([]), "(none)\n");
  t.equal(valueText({}), "(none)\n");
  t.end();
});

t.test("maps and lists within each other are indented", (t) => {
  const value = {
    id: "lamp",
    holder: null,
    beams: ["low", "high"],
    functions: [
      { name: "on", params: [] },
      { name: "beam", params: [{ name: "beam" }] },
    ],
    pwm: { chip: "sim", channel: 0 },
    none: {},
  };
  t.equal(
    valueText(value),
    `id: lamp
holder: -
beams: low, high
functions:
  - name: on
    params: (none)
  - name: beam
    params:
      - name: beam
pwm:
  chip: sim
  channel: 0
none: (none)
`,
  );
  t.end();
});

t.test("JSON loses nothing", (t) => {
  t.equal(
    jsonText({ big: 2n ** 64n, nan: NaN, bytes: new Uint8Array([1, 2]), text: "µ" }),
    '{"big":"18446744073709551616","nan":"NaN","bytes":{"base64":"AQI="},"text":"µ"}\n',
  );
  t.end();
});

t.test("a table has its columns in line and no spaces at the end", (t) => {
  t.equal(
    tableText(
      ["A", "LONG"],
      [
        ["value", "x"],
        ["", ""],
      ],
    ),
    "A      LONG\nvalue  x\n\n",
  );
  t.end();
});
