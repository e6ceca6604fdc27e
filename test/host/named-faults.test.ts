// What breaks outside: each is a fault that says what it is, within its limit; nothing hangs, what else there is goes on, and all of it ends.
import t from "tap";

import { createRig, EXPANDERS, type Devices, type Rig } from "./pin-trace-rig.ts";

interface Mishap {
  readonly devices: Devices;
  /** Goes on all the time. */
  readonly orders: readonly string[];
  /** Until everything runs. */
  readonly firstMs?: number;
  /** Ordered from then on; the same when absent. */
  readonly then?: readonly string[];
  readonly happens: (rig: Rig) => void;
  readonly isOver: (rig: Rig) => void;
  /** What is said of device `d`. */
  readonly fault: RegExp;
  /** From the event to the fault, milliseconds. */
  readonly withinMs: number;
}

const PCA9685 = 0x40;
const pca9685 = (channel: number) => ({ pca9685: { bus: 1, address: PCA9685, channel } });

const FRAMES = {
  pedals: {
    id: 0x200,
    length: 2,
    periodMs: 20,
    signals: { accelerator: { startBit: 0, lengthBits: 8 }, brake: { startBit: 8, lengthBits: 8 } },
  },
};

const PEDALS = {
  accelerator: { can: { frame: "pedals", signal: "accelerator" } },
  brake: { can: { frame: "pedals", signal: "brake" } },
  can: { interface: "can0", frames: FRAMES },
};

const WHEELS = { wheels: { id: 0x201, length: 1, periodMs: 20, signals: { angle: { startBit: 0, lengthBits: 8, signed: true } } } };

const stuck = (rig: Rig): void => rig.world.i2c.stick(1);
const free = (rig: Rig): void => rig.world.i2c.free(1);
const busOff = (rig: Rig): void => rig.world.can("can0").setState("bus-off", "too many errors");
const busOn = (rig: Rig): void => rig.world.can("can0").setState("active");

/** Takes the chip off the bus: it acknowledges nothing. */
function gone(address: number) {
  return (rig: Rig): void => rig.world.i2c.detach(1, address);
}

const nothing = (): void => undefined;

const SERVO: Pick<Mishap, "devices" | "orders"> = {
  devices: { d: ["servo", { pwm: pca9685(0), slewDegPerS: 10, startDeg: 0 }] },
  orders: ["d.angle 90"],
};

const HEAD: Pick<Mishap, "devices" | "orders"> = {
  devices: { d: ["pan-tilt", { pan: { pwm: pca9685(0), maxDegPerS: 10, startDeg: 0 }, tilt: { pwm: pca9685(1) } }] },
  orders: ["d.look 90 0"],
};

const EXPANDER: Pick<Mishap, "devices" | "orders"> = {
  devices: {
    d: ["expander", { chip: "pca9534", bus: 1, address: EXPANDERS.pca9534, outputs: { pump: { line: 0 } }, inputs: { door: { line: 7 } } }],
  },
  orders: ["d.state"],
};

const CAR: Pick<Mishap, "devices" | "orders" | "firstMs"> = {
  devices: { d: ["gcbaf", { accelerator: { pwm: pca9685(0) }, brake: { pwm: pca9685(1) } }] },
  orders: ["d.drive 0 50", "d.arm"],
  firstMs: 2500,
};

const MISHAPS: Readonly<Record<string, Mishap>> = {
  "a servo's chip that acknowledges nothing": {
    ...SERVO,
    happens: gone(PCA9685),
    isOver: nothing,
    fault: /1:0x40 does not answer/,
    withinMs: 100,
  },
  "a servo's bus that is stuck": {
    ...SERVO,
    happens: stuck,
    isOver: free,
    fault: /TIMEOUT .*1:0x40 did not end a transfer within 100 ms/,
    withinMs: 250,
  },
  "a camera head's chip that acknowledges nothing": {
    ...HEAD,
    happens: gone(PCA9685),
    isOver: nothing,
    fault: /1:0x40 does not answer/,
    withinMs: 100,
  },
  "a camera head's bus that is stuck": {
    ...HEAD,
    happens: stuck,
    isOver: free,
    fault: /TIMEOUT .*1:0x40 did not end a transfer within 100 ms/,
    withinMs: 250,
  },
  "an expander that acknowledges nothing": {
    ...EXPANDER,
    happens: gone(EXPANDERS.pca9534),
    isOver: nothing,
    fault: /1:0x20/,
    withinMs: 1000,
  },
  "an expander's bus that is stuck": { ...EXPANDER, happens: stuck, isOver: free, fault: /1:0x20/, withinMs: 1000 },
  "a vehicle's bus that is stuck": {
    ...CAR,
    then: ["d.drive 0 20"],
    happens: stuck,
    isOver: free,
    fault: /TIMEOUT .*1:0x40 did not end a transfer within 100 ms/,
    withinMs: 250,
  },
  "a vehicle's CAN that is bus-off": {
    ...CAR,
    devices: { d: ["gcbaf", PEDALS] },
    happens: busOff,
    isOver: busOn,
    fault: /can0 is bus-off: too many errors/,
    withinMs: 100,
  },
  "a steering's CAN that is bus-off": {
    devices: { d: ["steering", { angle: { can: { frame: "wheels", signal: "angle" } }, can: { interface: "can0", frames: WHEELS } }] },
    orders: ["d.angle 0", "d.arm"],
    firstMs: 2500,
    happens: busOff,
    isOver: busOn,
    fault: /can0 is bus-off: too many errors/,
    withinMs: 100,
  },
  "an echo that never returns": {
    devices: { d: ["ultrasonic", { trigger: "GPIO23", echo: "GPIO24" }] },
    orders: ["d.state"],
    firstMs: 50,
    happens: nothing,
    isOver: nothing,
    fault: /answered none of 10 triggers/,
    withinMs: 1000,
  },
  "a servo's horn that is blocked": {
    devices: { d: ["servo", { pwm: { chip: "sim", channel: 0 }, feedback: { variable: "horn.deg" } }] },
    orders: ["d.angle 45"],
    firstMs: 50,
    happens: nothing,
    isOver: nothing,
    fault: /blocked/,
    withinMs: 1500,
  },
};

/** Why the device is faulted, as its description says it. */
function reasonIn(description: string): string {
  return /"state":"faulted".*?"reason":"([^"]*)"/.exec(description)?.[1] ?? "";
}

for (const [name, { devices, orders, firstMs = 500, then = orders, happens, isOver, fault, withinMs }] of Object.entries(MISHAPS)) {
  t.test(`${name} is a fault by name, within ${withinMs} ms`, async (t) => {
    const rig = createRig({ ...devices, lamp: ["light", { line: "GPIO17" }] }, []);
    await rig.start();
    rig.setVariable("horn.deg", 0);
    await rig.drive(orders, firstMs);
    happens(rig);
    const fromMs = rig.nowMs();
    let reason = "";
    while (rig.nowMs() - fromMs < withinMs && reason === "") {
      rig.setVariable("horn.deg", 0);
      await rig.drive(then, 1);
      reason = reasonIn(await rig.ask("DESCRIBE d"));
    }
    t.comment(`after ${rig.nowMs() - fromMs} ms: ${reason}`);
    t.match(reason, fault);
    t.notMatch(await rig.ask("CLONE lamp.on"), /^-/, "others go on");
    isOver(rig);
    await rig.stop();
    t.same(rig.world.claimed(), []);
  });
}
