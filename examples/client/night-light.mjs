// A night light: the lamp's low beam while it is dark and somebody wants light. Run it with an agent's gateway as argument:
//
//     node examples/client/night-light.mjs 127.0.0.1:6390
//
// It shows what a program must do that moves something: say what it wants again and again, each time for a short while only (the lease). When this program
// ends, is stopped or loses its connection, nobody has to switch the lamp off: the lease ends, and the lamp makes itself safe.
import { createClient } from "virgo-edge-agent";

const DARK_LUX = 5;
const LEASE_MS = 600;

const agent = createClient({ address: process.argv[2] ?? "127.0.0.1:6390", token: process.env.VIRGO_TOKEN });
const known = new Map();

await agent.vars.watch("*", ({ name, value }) => known.set(name, value), {
  onInterrupted: ({ message }) => {
    // What was known is old by now; it comes again with the connection.
    known.clear();
    console.error(message);
  },
});

async function renew() {
  if (!(known.get("ambient_lux") < DARK_LUX) || known.get("lights.on") !== true) return;
  try {
    await agent.clone("lamp.beam", ["low"], { leaseMs: LEASE_MS, deadlineMs: LEASE_MS / 2 });
  } catch (error) {
    // Somebody with a higher priority has the lamp, or the agent is away: the next attempt comes soon enough.
    console.error(`${error.code} ${error.message}`);
  }
}

const timer = setInterval(renew, LEASE_MS / 3);
process.on("SIGINT", () => {
  clearInterval(timer);
  agent.close();
});
