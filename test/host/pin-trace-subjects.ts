// Every actuator on every kind of port it can be on, and what each port is meant to do in each stage of its life.
import { ARDUINO, EXPANDERS, NOBODY, turningPoints, type Devices, type Port } from "./pin-trace-rig.ts";

/** What happens to every device, in this order. */
const STAGES = [
  "boot",
  "claim",
  "run",
  "loss",
  "again",
  "e-stop",
  "reset",
  "more",
  "exit",
  "restart",
  "driven",
  "crash",
  "made safe",
  "restart after a crash",
  "driven once more",
  "killed",
  "start with nothing made safe",
  "end",
] as const;

export type Stage = (typeof STAGES)[number];

/** What a port is meant to do. */
export interface Life {
  readonly port: Port;
  /** Its safe state. */
  readonly safe: number;
  /** When nobody has it: as `safe` when absent. */
  readonly free?: number;
  /** What `claim` and `run` of the subject order, one after the other. */
  readonly claim: readonly number[];
  readonly run: readonly number[];
  /** Goes on when its process dies, as everything does but lines. */
  readonly left?: false;
  /** Where it is meant to do something else. */
  readonly but?: Partial<Record<Stage, readonly number[]>>;
}

export interface Subject {
  readonly devices: Devices;
  /** Lines with a resistor to the supply, as everything needs that is switched on by a low level. */
  readonly pulledUp?: readonly string[];
  /** Ordered 20 times a second for `claimMs`, 1000 when absent; then `run`, for 2 s. */
  readonly claim: readonly string[];
  readonly claimMs?: number;
  readonly run: readonly string[];
  readonly ports: Readonly<Record<string, Life>>;
}

/** What the port is meant to do in each stage. */
export function expectedOf({ safe, free = safe, claim, run, left, but = {} }: Life): Record<Stage, string> {
  const driven = [safe, ...claim, ...run];
  const [last = safe] = run.slice(-1);
  const found = left === false ? free : last;
  const stages: Record<Stage, readonly number[]> = {
    boot: [free, safe],
    claim: [safe, ...claim],
    run: [claim.at(-1) ?? safe, ...run],
    loss: [last, safe],
    again: driven,
    "e-stop": [last, safe],
    reset: [safe],
    more: driven,
    exit: [last, safe, free],
    restart: [free, safe],
    driven,
    crash: [last, found],
    "made safe": [found, safe],
    "restart after a crash": [safe],
    "driven once more": driven,
    killed: [last, found],
    "start with nothing made safe": [found, safe],
    end: [safe, free],
    ...but,
  };
  return Object.fromEntries(STAGES.map((stage) => [stage, turningPoints(stages[stage])])) as Record<Stage, string>;
}

const sim = (channel: number) => ({ chip: "sim", channel });
const pca9685 = (channel: number) => ({ pca9685: { bus: 1, address: 0x40, channel } });
const simPort = (channel: number): Port => ({ pwm: `sim:${channel}` });
const pcaPort = (channel: number): Port => ({ pwm: `pca9685@1:0x40:${channel}` });

/** Thousandths of 20 ms: the pulses of a servo's middle, 45° on, and its ends. */
const [MIDDLE, ON, RELEASED, PRESSED] = [75, 100, 50, 100];

const lineLife = (line: string, life: Omit<Life, "port" | "left">): Life => ({ port: { line }, left: false, ...life });
const pulseLife = (port: Port, claim: number, run: number): Life => ({ port, safe: 0, claim: [claim], run: [run] });

function expanderSubject(chip: keyof typeof EXPANDERS): Subject {
  // What it is after power-on: inputs, or for a PCF8574 pulled up weakly.
  const fresh = chip === "pcf8574" ? 1 : NOBODY;
  const life = (pin: number, safe: number, claim: number, run: number): Life => ({
    port: { expander: chip, pin },
    safe,
    claim: [claim],
    run: [run],
    but: { boot: [fresh, safe] },
  });
  return {
    devices: {
      box: ["expander", { chip, bus: 1, address: EXPANDERS[chip], outputs: { pump: { line: 0 }, horn: { line: 1, activeLow: true } } }],
    },
    claim: ["box.set pump on"],
    run: ["box.set pump on", "box.set horn on"],
    ports: { pump: life(0, 0, 1, 1), horn: life(1, 1, 1, 0), "a line nobody has": { ...life(2, fresh, fresh, fresh), but: {} } },
  };
}

const PEDALS = {
  pedals: {
    id: 0x200,
    length: 2,
    periodMs: 20,
    signals: { accelerator: { startBit: 0, lengthBits: 8 }, brake: { startBit: 8, lengthBits: 8 } },
  },
};

const WHEELS = { wheels: { id: 0x201, length: 1, periodMs: 20, signals: { angle: { startBit: 0, lengthBits: 8, signed: true } } } };

/** 2.5 of 3.5 m/s²: the brake of a vehicle that nobody drives any more, percent and thousandths of 20 ms. */
const LOSS_PERCENT = 71;
const LOSS_PULSE = 86;

/** Armed with the brake pressed, then 40 % accelerator; once it is lost it is braked to a stop and held. */
const VEHICLE = { claim: ["car.drive 0 50", "car.arm"], claimMs: 2500, run: ["car.drive 40 0"] } as const;

/** A pedal's servo: silent until it is armed, and without anybody. What is handed over to the next process has no pulse for a moment. */
function pedalLife(port: Port, claim: number, run: number, held: number, whenMadeSafe: number): Life {
  const driven = [held, run];
  return {
    port,
    safe: held,
    free: 0,
    claim: [claim],
    run: [run],
    but: {
      boot: [0],
      claim: [0, claim],
      again: driven,
      more: driven,
      restart: [0],
      driven: [0, claim, run],
      "made safe": [run, 0, whenMadeSafe],
      "restart after a crash": [whenMadeSafe, 0, held],
      "driven once more": driven,
      "start with nothing made safe": [run, 0],
      end: [0],
    },
  };
}

/** The wheels' servo: held where they were driven to while the vehicle is stopped, also by the next process, then let go. */
function wheelsLife(port: Port): Life {
  const angle = 85;
  return { ...pulseLife(port, MIDDLE, angle), but: { "made safe": [angle, 0, angle], "restart after a crash": [angle, 0, angle, 0] } };
}

/** A signal of a vehicle on CAN: what was sent last stands when nothing is sent any more. `armedAt`: the first that is sent when it is armed again after that. */
function signalLife(byte: number, claim: number, run: number, held: number, whenMadeSafe: number, atExit: number, armedAt = atExit): Life {
  return {
    port: { can: "can0", byte },
    safe: held,
    claim: [claim],
    run: [run],
    but: {
      boot: [NOBODY],
      claim: [NOBODY, claim],
      again: [held, run],
      more: [held, run],
      exit: [run, atExit],
      restart: [atExit],
      driven: [atExit, armedAt, claim, run],
      "made safe": [run, whenMadeSafe],
      "restart after a crash": [whenMadeSafe, held],
      "driven once more": [held, run],
      "start with nothing made safe": [run],
      end: [run],
    },
  };
}

export const SUBJECTS: Readonly<Record<string, Subject>> = {
  "a lamp on a line": {
    devices: { lamp: ["light", { line: "GPIO17" }] },
    claim: ["lamp.on"],
    run: ["lamp.on"],
    ports: { lamp: lineLife("GPIO17", { safe: 0, claim: [1], run: [1] }) },
  },
  "a lamp that is lit by a low level, and safe when lit": {
    devices: { lamp: ["light", { line: "GPIO17", activeLow: true, safe: "on" }] },
    pulledUp: ["GPIO17"],
    claim: ["lamp.off"],
    run: ["lamp.off"],
    ports: { lamp: lineLife("GPIO17", { safe: 0, free: 1, claim: [1], run: [1], but: { "restart after a crash": [0, 1, 0] } }) },
  },
  "a lamp of two filaments": {
    devices: { lamp: ["light", { lines: { low: "GPIO5", high: "GPIO6" } }] },
    claim: ["lamp.beam low"],
    run: ["lamp.beam high"],
    ports: { low: lineLife("GPIO5", { safe: 0, claim: [1], run: [0] }), high: lineLife("GPIO6", { safe: 0, claim: [0], run: [1] }) },
  },
  "a lamp on PWM that is safe at 20 %": {
    devices: { lamp: ["light", { pwm: sim(0), safe: 20 }] },
    claim: ["lamp.brightness 50"],
    run: ["lamp.brightness 80"],
    ports: {
      lamp: {
        port: simPort(0),
        safe: 200,
        free: 0,
        claim: [500],
        run: [800],
        but: { "made safe": [800, 0, 200], "restart after a crash": [200, 0, 200], "start with nothing made safe": [800, 0, 200] },
      },
    },
  },
  "a dimmer": {
    devices: { lamp: ["dimmer", { pwm: sim(0) }] },
    claim: ["lamp.brightness 50"],
    run: ["lamp.brightness 100"],
    ports: { lamp: pulseLife(simPort(0), 218, 1000) },
  },
  "a relay": {
    devices: { pump: ["relay", { line: "GPIO17" }] },
    claim: ["pump.on"],
    run: ["pump.on"],
    ports: { coil: lineLife("GPIO17", { safe: 0, claim: [1], run: [1] }) },
  },
  "a relay that is energised by a low level": {
    devices: { pump: ["relay", { line: "GPIO17", activeLow: true }] },
    pulledUp: ["GPIO17"],
    claim: ["pump.on"],
    run: ["pump.on"],
    ports: { coil: lineLife("GPIO17", { safe: 1, claim: [0], run: [0] }) },
  },
  "a servo": {
    devices: { pan: ["servo", { pwm: sim(0) }] },
    claim: ["pan.angle 0"],
    run: ["pan.angle 45"],
    ports: { horn: pulseLife(simPort(0), MIDDLE, ON), "a channel nobody has": pulseLife(simPort(1), 0, 0) },
  },
  "two servos on a PCA9685": {
    devices: { pan: ["servo", { pwm: pca9685(3) }], tilt: ["servo", { pwm: pca9685(4) }] },
    claim: ["pan.angle 0"],
    run: ["pan.angle 45", "tilt.angle 0"],
    ports: {
      pan: pulseLife(pcaPort(3), MIDDLE, ON),
      tilt: pulseLife(pcaPort(4), 0, MIDDLE),
      "a channel nobody has": pulseLife(pcaPort(5), 0, 0),
    },
  },
  "a camera head": {
    devices: { camera: ["pan-tilt", { pan: { pwm: sim(0) }, tilt: { pwm: sim(1) } }] },
    claim: ["camera.look 0 0"],
    run: ["camera.look 45 -45"],
    ports: {
      // Nobody drives it for a while, and its first pulse is where it was: one step from there on its way back to the middle.
      pan: { ...pulseLife(simPort(0), MIDDLE, ON), but: { again: [0, 99, MIDDLE, ON], more: [0, 99, MIDDLE, ON] } },
      tilt: pulseLife(simPort(1), MIDDLE, 50),
    },
  },
  "a motor on a bridge with two inputs": {
    devices: { winch: ["motor", { in1: "GPIO5", in2: "GPIO6", pwm: sim(0), standby: "GPIO7", brakeInputs: "high" }] },
    claim: ["winch.speed 50"],
    run: ["winch.speed -50"],
    ports: {
      in1: lineLife("GPIO5", { safe: 0, claim: [1], run: [0] }),
      in2: lineLife("GPIO6", { safe: 0, claim: [0], run: [1] }),
      standby: lineLife("GPIO7", { safe: 0, claim: [1], run: [0, 1] }),
      duty: { port: simPort(0), safe: 0, claim: [500], run: [0, 500] },
    },
  },
  "a motor on a bridge with a direction": {
    devices: { winch: ["motor", { phase: "GPIO5", pwm: sim(0) }] },
    claim: ["winch.speed 50"],
    run: ["winch.speed -50"],
    ports: {
      // Without a duty the direction drives nothing: it stays until the next order.
      phase: lineLife("GPIO5", {
        safe: 0,
        claim: [0],
        run: [1],
        but: { loss: [1], again: [1, 0, 1], "e-stop": [1], reset: [1], more: [1, 0, 1] },
      }),
      duty: { port: simPort(0), safe: 0, claim: [500], run: [0, 500] },
    },
  },
  "a motor on two half bridges": {
    devices: { winch: ["motor", { forward: sim(0), reverse: sim(1) }] },
    claim: ["winch.speed 50"],
    run: ["winch.speed -50"],
    ports: { forward: pulseLife(simPort(0), 500, 0), reverse: pulseLife(simPort(1), 0, 500) },
  },
  "a gate": {
    devices: { gate: ["cover", { open: "GPIO5", close: "GPIO6", openMs: 10_000, closeMs: 10_000 }] },
    claim: ["gate.open"],
    run: ["gate.close"],
    ports: { open: lineLife("GPIO5", { safe: 0, claim: [1], run: [0] }), close: lineLife("GPIO6", { safe: 0, claim: [0], run: [1] }) },
  },
  "a PCA9534": expanderSubject("pca9534"),
  "an MCP23008": expanderSubject("mcp23008"),
  "a PCF8574": expanderSubject("pcf8574"),
  "a vehicle on servos and a line": {
    ...VEHICLE,
    devices: {
      car: [
        "gcbaf",
        {
          accelerator: { pwm: sim(0) },
          brake: { pwm: sim(1) },
          clutch: { pwm: sim(2) },
          gear: { pwm: sim(3), positions: { P: 1000, N: 1500, D: 2000 } },
          fuel: { line: "GPIO5" },
        },
      ],
    },
    ports: {
      accelerator: pedalLife(simPort(0), RELEASED, 70, RELEASED, RELEASED),
      brake: pedalLife(simPort(1), MIDDLE, RELEASED, LOSS_PULSE, 61),
      clutch: pedalLife(simPort(2), PRESSED, PRESSED, PRESSED, PRESSED),
      // Nothing is engaged before it stands.
      gear: pedalLife(simPort(3), MIDDLE, MIDDLE, MIDDLE, 0),
      fuel: lineLife("GPIO5", { safe: 0, claim: [1], run: [1] }),
    },
  },
  "a vehicle on a PCA9685": {
    ...VEHICLE,
    devices: { car: ["gcbaf", { accelerator: { pwm: pca9685(0) }, brake: { pwm: pca9685(1) } }] },
    ports: {
      accelerator: pedalLife(pcaPort(0), RELEASED, 70, RELEASED, RELEASED),
      brake: pedalLife(pcaPort(1), MIDDLE, RELEASED, LOSS_PULSE, 61),
    },
  },
  "a vehicle on CAN": {
    ...VEHICLE,
    devices: {
      car: [
        "gcbaf",
        {
          accelerator: { can: { frame: "pedals", signal: "accelerator" } },
          brake: { can: { frame: "pedals", signal: "brake" } },
          can: { interface: "can0", frames: PEDALS },
        },
      ],
    },
    ports: { accelerator: signalLife(0, 0, 40, 0, 0, 0), brake: signalLife(1, 50, 0, LOSS_PERCENT, 21, LOSS_PERCENT, 3) },
  },
  "wheels on a servo": {
    devices: { wheels: ["steering", { angle: { pwm: sim(0) } }] },
    claim: ["wheels.angle 0", "wheels.arm"],
    claimMs: 2500,
    run: ["wheels.angle 14"],
    ports: { angle: wheelsLife(simPort(0)) },
  },
  "wheels on a PCA9685": {
    devices: { wheels: ["steering", { angle: { pwm: pca9685(0) } }] },
    claim: ["wheels.angle 0", "wheels.arm"],
    claimMs: 2500,
    run: ["wheels.angle 14"],
    ports: { angle: wheelsLife(pcaPort(0)) },
  },
  "wheels on CAN": {
    devices: {
      wheels: ["steering", { angle: { can: { frame: "wheels", signal: "angle" } }, can: { interface: "can0", frames: WHEELS } }],
    },
    claim: ["wheels.angle 0", "wheels.arm"],
    claimMs: 2500,
    run: ["wheels.angle 14"],
    ports: { angle: signalLife(0, 0, 14, 0, 14, 14) },
  },
  "devices on the pins of an Arduino": {
    devices: {
      uno: ["firmata", { path: ARDUINO }],
      lamp: ["light", { line: "uno:13" }],
      pan: ["servo", { pwm: { chip: "uno", channel: 9 } }],
      led: ["dimmer", { pwm: { chip: "uno", channel: 5 }, frequencyHz: 980 }],
    },
    claim: ["lamp.on", "pan.angle 0", "led.on"],
    run: ["lamp.on", "pan.angle 45", "led.on"],
    ports: Object.fromEntries(
      (
        [
          ["lamp", 13, 1, 1],
          ["pan", 9, 1500, 2000],
          ["led", 5, 255, 255],
        ] as const
      ).map(([name, arduino, claim, run]) => [
        name,
        { port: { arduino }, safe: 0, claim: [claim], run: [run], but: { boot: [NOBODY, 0] } } satisfies Life,
      ]),
    ),
  },
};
