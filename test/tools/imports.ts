// `npm run deps`: who imports whom (.dependency-cruiser.mjs), with what to do instead; and proof that every file was looked at.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

import { productFiles } from "./files.ts";

interface Report {
  readonly modules: readonly { readonly source: string }[];
  readonly summary: {
    readonly totalDependenciesCruised: number;
    readonly violations: readonly { readonly from: string; readonly to: string; readonly rule: { readonly name: string } }[];
    readonly ruleSetUsed: { readonly forbidden: readonly { readonly name: string; readonly comment: string }[] };
  };
}

/** The product has more files than this; fewer means that the cruise went wrong. */
const FEWEST_MODULES = 40;

const folders = ["agent", "drivers", "analytics", "test", "bench"].filter((folder) => existsSync(folder));
const cruised = spawnSync(
  process.execPath,
  ["node_modules/dependency-cruiser/bin/dependency-cruise.mjs", "--output-type", "json", ...folders],
  {
    encoding: "utf8",
    maxBuffer: 256 * 1024 * 1024,
    stdio: ["ignore", "pipe", "inherit"],
  },
);
const { modules, summary } = JSON.parse(cruised.stdout) as Report;
const comments = new Map(summary.ruleSetUsed.forbidden.map((rule) => [rule.name, rule.comment]));

for (const { rule, from, to } of summary.violations) {
  console.error(`${rule.name}: ${from === to ? from : `${from} -> ${to}`}\n  ${comments.get(rule.name) ?? ""}`);
}

const seen = new Set(modules.map((module) => module.source));
const files = productFiles();
const unseen = files.filter((file) => !seen.has(file));
for (const file of unseen) console.error(`${file} was not cruised: correct the folders in test/tools/imports.ts`);
if (files.length < FEWEST_MODULES) console.error(`only ${files.length} product modules, at least ${FEWEST_MODULES} expected`);

console.log(`${files.length} product modules, ${summary.totalDependenciesCruised} imports, ${summary.violations.length} against the rules`);
if (summary.violations.length > 0 || unseen.length > 0 || files.length < FEWEST_MODULES) process.exitCode = 1;
