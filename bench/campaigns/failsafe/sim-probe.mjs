// Loaded before the agent, in each of its processes and threads (`NODE_OPTIONS=--import`): whoever opens the simulated board gets it with a meter at its ports, which
// writes what has been written there, and when, into the file VIRGO_SIM_LOG. The agent is the built one, as it is.
import { register } from "node:module";

register("./sim-probe-hooks.mjs", import.meta.url);
