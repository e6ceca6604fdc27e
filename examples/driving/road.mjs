// A straight road, 5 m wide, that ends at a wall 40 m ahead, and a car on it: what the sensors of a real one would say, sent 100 times a second, and what the
// pedals of a real one would do. Run it beside the agent:
//
//     node examples/driving/road.mjs
//
// It arms the vehicle, shifts to D, and prints how far the car is from the wall until it stands.
import { connect } from "node:net";

import { createClient } from "virgo-edge-agent";

const WALL_M = 40;
const HALF_M = 2.5;
const RANGE_M = 30;
const FORWARD_M = 1.8;
const FRONT_M = 2.5;
const HEIGHT_M = 1.2;
/** As the rules: who arms a vehicle holds it until it is driven. */
const PRIORITY = 10;

const agent = createClient({ address: process.argv[2] ?? "127.0.0.1:6390", token: process.env.VIRGO_TOKEN });
const sensors = connect({ host: "127.0.0.1", port: 64_000, noDelay: true });
const known = new Map();
let travelledM = 0;
let speedMps = 0;
let demandedMps = 0;

const directions = Array.from({ length: 360 }, (_, degree) => [Math.cos((degree * Math.PI) / 180), Math.sin((degree * Math.PI) / 180)]);

function horizontal() {
  const aheadM = WALL_M - travelledM - FORWARD_M;
  return directions.map(([along, across]) => {
    const range = Math.min(RANGE_M, along > 0 ? aheadM / along : RANGE_M, HALF_M / Math.abs(across));
    // Real sensors are never quite the same; one that is gets taken for a broken one.
    return range === RANGE_M ? range : range + 0.02 * (Math.random() - 0.5);
  });
}

const vertical = directions.map(([, up]) => (up < 0 ? Math.min(RANGE_M, HEIGHT_M / -up) : RANGE_M));

const list = (numbers) => `[${numbers.map((number) => number.toFixed(2)).join(" ")}]`;

let lastMs = performance.now();
const timer = setInterval(() => {
  const nowMs = performance.now();
  const seconds = (nowMs - lastMs) / 1000;
  lastMs = nowMs;
  const mps2 = 0.02 * (known.get("car.accelerator") ?? 0) - 0.035 * (known.get("car.brake") ?? 0) - 0.1;
  speedMps = Math.max(0, speedMps + mps2 * seconds);
  travelledM += speedMps * seconds;
  sensors.write(
    `speed=${speedMps.toFixed(3)}\ndemanded_speed=${demandedMps}\nvertical=${list(vertical)}\nhorizontal=${list(horizontal())}\n`,
  );
}, 10);

for (const pattern of ["car.*", "wheel.*"]) await agent.vars.watch(pattern, ({ name, value }) => known.set(name, value));

const seconds = (count) => new Promise((resolve) => setTimeout(resolve, 1000 * count));

/** A vehicle is armed once commands have come for two seconds, and again after anything unclear disarmed it. Until it is in gear nobody wants it to move. */
async function arm() {
  demandedMps = 0;
  try {
    for (const name of ["car.arm", "wheel.arm"]) await agent.clone(name, [], { priority: PRIORITY });
    await seconds(0.5);
    await agent.clone("car.gear", ["D"], { priority: PRIORITY });
    demandedMps = 4;
  } catch (error) {
    console.log(`${error.code} ${error.message}`);
  }
}

for (let still = 0; still < 3;) {
  await seconds(1);
  const isArmed = known.get("car.armed") === true && known.get("wheel.armed") === true;
  if (!isArmed || known.get("car.gear") !== "D") await arm();
  const leftM = WALL_M - travelledM - FRONT_M;
  still = speedMps < 0.05 && leftM < 2 ? still + 1 : 0;
  console.log(`${leftM.toFixed(1)} m to the wall, ${speedMps.toFixed(1)} m/s: ${await agent.vars.get("driving.reason")}`);
}
clearInterval(timer);
sensors.destroy();
agent.close();
