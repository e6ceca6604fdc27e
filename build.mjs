// Builds what is installed: type declarations by the compiler, and the program itself in few files, because opening and checking hundreds of small ones
// takes longer than everything else that happens between start and listening.
import { execFileSync } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

import { build } from "esbuild";

/** Programs, threads and what other packages import; the rest is shared between them. All in one folder, so that they find each other. */
const ENTRIES = {
  "agent/main": "agent/main.ts",
  "agent/device-host": "agent/device-host.ts",
  "agent/motion-thread": "agent/motion-thread.ts",
  "agent/plugin-thread": "agent/services/plugin-thread.ts",
  "agent/client": "agent/client.ts",
  "agent/contract/module-kit": "agent/contract/module-kit.ts",
};

/** Installed beside the program: they carry native code, files of their own, or are given to modules that are loaded later. */
const EXTERNAL = ["koffi", "i2c-bus", "onoff", "serialport", "pino"];

/** zod's messages in forty languages, of which the agent speaks one. */
const oneLanguage = {
  name: "one-language",
  setup({ onLoad }) {
    onLoad({ filter: /zod[/\\]v4[/\\]locales[/\\]index\.js$/ }, () => ({ contents: 'export { default as en } from "./en.js";' }));
  },
};

const { dependencies, optionalDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
for (const name of EXTERNAL) {
  if (!(name in { ...dependencies, ...optionalDependencies })) throw new Error(`${name} is used at run time and no dependency`);
}

rmSync("dist", { recursive: true, force: true });
const { metafile } = await build({
  metafile: true,
  entryPoints: ENTRIES,
  outdir: "dist",
  chunkNames: "agent/[name]-[hash]",
  bundle: true,
  splitting: true,
  platform: "node",
  format: "esm",
  target: "node20",
  external: EXTERNAL,
  plugins: [oneLanguage],
  minifyWhitespace: true,
  minifySyntax: true,
  sourcemap: true,
  sourcesContent: false,
  legalComments: "none",
  logLevel: "warning",
  banner: { js: 'import{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);' },
});
chmodSync("dist/agent/main.js", 0o755);
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"], { stdio: "inherit" });
writeFileSync("dist/THIRD-PARTY.txt", licences(Object.keys(metafile.inputs)));

/** The licences of the packages whose files were built in, which ask to be passed on. */
function licences(files) {
  const folders = new Set(files.flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? []));
  return [...folders].toSorted().map(licenceOf).join("\n\n");
}

function licenceOf(folder) {
  const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (file === undefined) throw new Error(`${name} has no licence to pass on`);
  return `${name} ${version} (${license})\n\n${readFileSync(`${folder}/${file}`, "utf8").trim()}\n`;
}
