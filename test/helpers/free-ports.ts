const PORTS = ["clone", "eventnet", "memory", "files", "queue"];

/** The line of a configuration that has every listener take a free port. */
export const FREE_PORTS = `listen: { ${[...PORTS, "gateway"].map((name) => `${name}: 127.0.0.1:0`).join(", ")} }\n`;

/** The line that leaves only the gateway open, on a free port. */
export const GATEWAY_ONLY = `listen: { ${PORTS.map((name) => `${name}: false`).join(", ")}, gateway: 127.0.0.1:0 }\n`;

/** The line that opens nothing. */
export const NO_PORTS = GATEWAY_ONLY.replace("127.0.0.1:0", "false");
