import { builtinModules } from "node:module";

import sonarjs from "eslint-plugin-sonarjs";
import tseslint from "typescript-eslint";

const product = ["agent/**/*.ts", "drivers/**/*.ts", "analytics/**/*.ts"];
const tests = ["test/**/*.ts"];
const tools = ["bench/**/*.ts", "test/**/*.ts"];

const bareBuiltins = builtinModules
  .filter((name) => !name.startsWith("_") && !name.startsWith("node:"))
  .map((name) => ({ name, message: `write node:${name}` }));

const noDefaultExport = { selector: "ExportDefaultDeclaration", message: "use a named export" };

export default tseslint.config(
  { ignores: ["dist/", "reports/", "coverage/", ".tap/", "node_modules/"] },
  {
    // Nothing is switched off from inside a file: a rule that is wrong is changed here, for everyone.
    linterOptions: { noInlineConfig: true, reportUnusedDisableDirectives: "error" },
  },
  {
    files: [...product, ...tools],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { sonarjs },
    rules: {
      eqeqeq: "error",
      "no-constant-condition": ["error", { checkLoops: "allExceptWhileTrue" }],
      "no-empty": "error",
      "no-fallthrough": "error",
      "no-self-compare": "error",
      "no-unreachable-loop": "error",
      "no-unsafe-finally": "error",
      "no-useless-escape": "error",
      "no-var": "error",
      "no-warning-comments": ["error", { terms: ["todo", "fixme", "xxx"] }],
      "object-shorthand": "error",
      "prefer-const": "error",
      "no-restricted-imports": ["error", { paths: bareBuiltins }],
      "no-restricted-syntax": ["error", noDefaultExport],

      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-explicit-any": "error",
      // tap runs subtests one after the other by itself, awaited or not.
      "@typescript-eslint/no-floating-promises": [
        "error",
        { allowForKnownSafePromises: [{ from: "package", package: "@tapjs/core", name: "PromiseWithSubtest" }] },
      ],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", destructuredArrayIgnorePattern: "^_" }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      // `async` without `await` is the plain way to make a throw a rejection.
      "@typescript-eslint/require-await": "off",
      // noPropertyAccessFromIndexSignature decides this.
      "@typescript-eslint/dot-notation": "off",
    },
  },
  {
    files: product,
    rules: {
      "max-lines": ["error", { max: 400 }],
      complexity: ["error", { max: 20 }],
      "sonarjs/cognitive-complexity": ["error", 15],
      "no-console": "error",
      "no-restricted-properties": [
        "error",
        {
          object: "process",
          property: "env",
          message: "the environment is read in agent/main.ts and agent/cli/ and handed on as a parameter",
        },
      ],
      "no-restricted-syntax": [
        "error",
        noDefaultExport,
        { selector: "ClassDeclaration", message: "a function that returns an object with closure state; AgentError is the only class" },
        {
          selector: "Program > VariableDeclaration[kind='let']",
          message: "state lives in what a create function returns, not in the module",
        },
        {
          selector: "Program > ExportNamedDeclaration > VariableDeclaration[kind='let']",
          message: "state lives in what a create function returns, not in the module",
        },
      ],
    },
  },
  { files: ["agent/contract/errors.ts"], rules: { "no-restricted-syntax": ["error", noDefaultExport] } },
  { files: ["agent/main.ts", "agent/cli/**/*.ts"], rules: { "no-restricted-properties": "off" } },
  {
    files: tools,
    rules: {
      complexity: ["error", { max: 25 }],
      "sonarjs/cognitive-complexity": ["error", 20],
    },
  },
  {
    files: tests,
    rules: {
      // A test may say what it knows; it fails if it is wrong.
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-unsafe-assignment": "off",
      "@typescript-eslint/no-unsafe-member-access": "off",
      "@typescript-eslint/no-unsafe-argument": "off",
    },
  },
);
