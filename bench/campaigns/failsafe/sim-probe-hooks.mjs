// Puts the meter between the agent and the module of the simulated board.
const METER = new URL("./sim-meter.mjs", import.meta.url).href;
const BOARD = /\/sim-board-?[^/]*\.js$/;
const REAL = "?real";

export async function load(url, context, nextLoad) {
  if (url.endsWith(REAL)) return nextLoad(url.slice(0, -REAL.length), context);
  if (!BOARD.test(url)) return nextLoad(url, context);
  const source = `
    import { createSimBoard as create } from ${JSON.stringify(url + REAL)};
    import { metered } from ${JSON.stringify(METER)};
    export const createSimBoard = (options) => metered(create(options));`;
  return { format: "module", source, shortCircuit: true };
}
