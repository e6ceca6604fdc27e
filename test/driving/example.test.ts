import t from "tap";

import { loadConfig } from "../../agent/config/load.ts";
import { problemText } from "../../agent/config/problem.ts";
import { deviceModules } from "../../agent/modules.ts";
import { checkRule } from "../../analytics/rule.ts";

t.test("the example is a configuration without a mistake or a warning", (t) => {
  const { config, problems, ...rest } = loadConfig("examples/driving/virgo.yaml", deviceModules, { checkRule });
  t.strictSame(problems.map(problemText), []);
  t.match(config, { analytics: { driving: { limits: { speedMps: 4 } } }, devices: [{ id: "car" }, { id: "wheel" }] });
  t.strictSame("warnings" in rest ? rest.warnings : [], []);
  t.end();
});
