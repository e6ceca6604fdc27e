// Who may import whom. Each rule says what to do instead; CONTRIBUTING.md has the table.

const product = "^(agent|drivers|analytics)/";
const contract = "^agent/contract/";
const zod = "^node_modules/zod/";
const sentences = "^node_modules/gps/";
const native = "^node_modules/(koffi|onoff|i2c-bus|serialport|@serialport|socketcan|epoll|bindings)/";

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    {
      name: "contract-stands-alone",
      comment:
        "agent/contract holds what everything meets at: it may import itself and zod. Put code that needs more into the room that does the work.",
      severity: "error",
      from: { path: contract },
      to: { pathNot: [contract, zod] },
    },
    {
      name: "device-drivers-see-the-contract-only",
      comment:
        "A device driver imports agent/contract, its own folder and zod. It gets board, clock and variables from its DeviceContext; " +
        "what two folders need belongs into the contract, what touches the kernel into drivers/board.",
      severity: "error",
      from: { path: "^drivers/(gpio|serial|vehicle)/" },
      to: { pathNot: ["^drivers/$1/", contract, zod, sentences] },
    },
    {
      name: "boards-know-no-devices",
      comment: "A board opens ports and knows nothing of who uses them: it imports agent/contract, native packages and node: modules.",
      severity: "error",
      from: { path: "^drivers/board/" },
      to: { path: "^(agent|drivers|analytics|node_modules)/", pathNot: ["^drivers/board/", contract, zod, native] },
    },
    {
      name: "boards-stay-apart",
      comment:
        "The simulated board and the Linux board share the contract, not code. Shared decisions belong into agent/contract/board.ts.",
      severity: "error",
      from: { path: "^drivers/board/(sim|linux)/" },
      to: { path: "^drivers/board/(sim|linux)/", pathNot: "^drivers/board/$1/" },
    },
    {
      name: "native-packages-in-boards-only",
      comment: "Native packages are imported, lazily, in drivers/board alone; everything else asks the Board for a port.",
      severity: "error",
      from: { path: product, pathNot: "^drivers/board/" },
      to: { path: native },
    },
    {
      name: "analytics-stands-alone",
      comment:
        "analytics imports agent/contract and itself (and zod, and the expression language). Rules reach devices through the Service they are given.",
      severity: "error",
      from: { path: "^analytics/" },
      to: { path: "^(agent|drivers|node_modules)/", pathNot: ["^analytics/", contract, zod, "^node_modules/@marcbachmann/cel-js/"] },
    },
    {
      name: "analytics-input-in-sources-only",
      comment: "Sockets and files belong into analytics/sources and analytics/sinks; the store and the rules are given what was read.",
      severity: "error",
      from: { path: "^analytics/", pathNot: "^analytics/(sources|sinks)/" },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "codecs-know-no-sockets",
      comment:
        "agent/wire turns bytes into requests and replies into bytes: it imports agent/contract and itself. Sockets and time belong into agent/listener.ts.",
      severity: "error",
      from: { path: "^agent/wire/" },
      to: { pathNot: ["^agent/wire/", contract] },
    },
    {
      name: "services-see-the-contract-only",
      comment:
        "agent/services, agent/host and agent/access import agent/contract and agent/store (and node: modules), not the wire, the listener, HTTP, " +
        "the configuration or each other's insides. Ask for an interface of the contract; agent/agent.ts hands it in.",
      severity: "error",
      from: { path: "^agent/(services|host|access)/" },
      to: { path: "^(agent|drivers|analytics|node_modules)/", pathNot: ["^agent/$1/", contract, "^agent/store/", zod] },
    },
    {
      name: "fleet-is-a-client",
      comment:
        "agent/fleet is the other end of the wire: it imports agent/contract and the codecs of agent/wire (and node: modules), nothing of the agent it talks to.",
      severity: "error",
      from: { path: "^agent/fleet/" },
      to: { path: "^(agent|drivers|analytics|node_modules)/", pathNot: ["^agent/fleet/", "^agent/wire/", contract, zod] },
    },
    {
      name: "mqtt-is-handed-its-agent",
      comment:
        "agent/mqtt speaks to a broker: it imports agent/contract, agent/store, the inline words of agent/wire, the package mqtt and node: modules. Devices, " +
        "services and variables are handed in by agent/open-mqtt.ts and agent/open-face.ts.",
      severity: "error",
      from: { path: "^agent/mqtt/" },
      to: {
        path: "^(agent|drivers|analytics|node_modules)/",
        pathNot: ["^agent/mqtt/", "^agent/store/", "^agent/wire/inline", contract, zod, "^node_modules/mqtt/"],
      },
    },
    {
      name: "link-is-wire-between-two-processes",
      comment:
        "agent/link carries requests, variables and events between the agent and its device host: it imports agent/contract, the codecs of agent/wire and node: modules. " +
        "What answers is handed in.",
      severity: "error",
      from: { path: "^agent/link/" },
      to: { path: "^(agent|drivers|analytics|node_modules)/", pathNot: ["^agent/link/", "^agent/wire/", contract, zod] },
    },
    {
      name: "keeper-knows-no-devices",
      comment:
        "agent/keeper watches a process and talks to the service manager: it imports agent/contract and node: modules; what it starts, and what makes devices safe, is handed in.",
      severity: "error",
      from: { path: "^agent/keeper(\\.ts$|/)" },
      to: { path: "^(agent|drivers|analytics|node_modules)/", pathNot: ["^agent/keeper(\\.ts$|/)", contract, zod] },
    },
    {
      name: "store-stands-alone",
      comment: "agent/store keeps records on disk and knows nothing of what they mean: it imports agent/contract and node: modules.",
      severity: "error",
      from: { path: "^agent/store/" },
      to: { path: "^(agent|drivers|analytics|node_modules)/", pathNot: ["^agent/store/", contract] },
    },
    {
      name: "only-the-wiring-sees-everything",
      comment:
        "Drivers and analytics are put together in agent/agent.ts and the files beside it that it is made of, agent/main.ts and agent/cli. Elsewhere take them as parameters, " +
        "typed by the contract. The configuration knows the options of the analytics.",
      severity: "error",
      from: {
        path: "^agent/",
        pathNot: [
          "^agent/(agent|device-host|info|kept-devices|main|modules|motion-thread|open-analytics|open-devices|run-device-host)\\.ts$",
          "^agent/cli/",
        ],
      },
      to: { path: "^(drivers|analytics)/", pathNot: "^analytics/(driving|statistics|sinks|sources)/options\\.ts$" },
    },
    {
      name: "product-without-tests",
      comment: "Product code imports neither test/ nor bench/. What both need is product code.",
      severity: "error",
      from: { path: product },
      to: { path: "^(test|bench)/" },
    },
    {
      name: "product-without-development-packages",
      comment: "Users install without devDependencies: make the package a dependency (and say why in DECISIONS.md) or do without.",
      severity: "error",
      from: { path: product },
      to: { dependencyTypes: ["npm-dev"], dependencyTypesNot: ["npm", "npm-optional", "type-only"] },
    },
    {
      name: "imports-exist",
      comment:
        "The import leads nowhere, or to a package that package.json does not name. Correct the path (with its .ts ending) or add the package.",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: "packages-are-declared",
      comment: "A package that is there only because another one needs it may leave any day: name it in package.json.",
      severity: "error",
      from: {},
      to: { dependencyTypes: ["npm-no-pkg", "npm-unknown"] },
    },
    {
      name: "no-cycles",
      comment: "Move what both sides need into a third file that imports neither.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "no-orphans",
      comment: "Nothing imports this file and it imports nothing: use it or delete it.",
      severity: "error",
      from: { path: product, orphan: true, pathNot: "^agent/main\\.ts$" },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "types", "node", "default"] },
  },
};
