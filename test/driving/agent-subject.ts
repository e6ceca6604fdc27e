import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createAgent } from "../../agent/agent.ts";
import { loadConfig } from "../../agent/config/load.ts";
import { problemText } from "../../agent/config/problem.ts";
import { checkRule } from "../../analytics/rule.ts";
import { createSimBoard } from "../../drivers/board/sim/sim-board.ts";
import { vehicle } from "../../drivers/vehicle/index.ts";
import { createFakeClock, settled } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { connectRaw } from "../helpers/raw-client.ts";
import { agentConfig, PULSE, type Decider } from "./agent-config.ts";
import { CAR, type Pedals } from "./car.ts";
import { RAYS } from "./lidar.ts";
import { createPortWatch, DECLARED, type PortValues } from "./port-watch.ts";
import { DT_S, type Frame, type Subject } from "./scenario.ts";

/** An agent that drives, seen from outside: bytes in, duty cycles out. */
export interface AgentSubject extends Subject {
  /** What was at the ports against the declared limits, each with when; the first few. */
  readonly violations: readonly string[];
  readonly violationCount: () => number;
  /** Time passes in which nothing at all is sent; then what is at the ports. */
  silence(ms: number, pedals: Pedals): Promise<void>;
  /** Milliseconds of agent time since it was started. */
  readonly agentMs: () => number;
  close(): Promise<void>;
}

/** Between scenarios the car stands for so long that nothing of the last one is remembered. */
const REST_S = 1.6;
/** Arming needs commands for 2 s, and the limits are tighter for 2 s afterwards. */
const ARMING_S = 2.3;
const TRANSITION_S = 2.1;
const MOST_VIOLATIONS = 20;

/** Turns of the event loop after which what arrived has been planned, ruled and commanded. */
const TURNS = 3;
/** So many turns without the bytes having arrived is a lost connection. */
const MOST_TURNS = 100_000;

const ZERO = 0x30;

/** A frame as text, in one piece of memory: two tables of 360 distances for each 10 ms. */
interface FrameText {
  /** Good until the next call. */
  of(frame: Frame): Buffer;
}

/** What is sent for a frame: nothing for what the sensors do not say. Distances by the centimetre; the goal comes last. */
function createFrameText(): FrameText {
  const bytes = Buffer.alloc(16_384);
  let end = 0;

  function put(text: string): void {
    end += bytes.write(text, end, "latin1");
  }

  /** `12.34 ` */
  function putDistance(metres: number): void {
    if (Number.isNaN(metres)) {
      put("nan ");
      return;
    }
    const cm = Math.round(metres * 100);
    const whole = Math.floor(cm / 100);
    if (whole >= 10) bytes[end++] = ZERO + Math.floor(whole / 10);
    bytes[end++] = ZERO + (whole % 10);
    bytes[end++] = 0x2e;
    bytes[end++] = ZERO + (Math.floor(cm / 10) % 10);
    bytes[end++] = ZERO + (cm % 10);
    bytes[end++] = 0x20;
  }

  function putTable(name: string, table: readonly number[]): void {
    put(`${name}=[`);
    for (const metres of table) putDistance(metres);
    put("]\n");
  }

  return {
    of({ horizontal, vertical, speedMps, goalDeg, demandedMps }) {
      end = 0;
      put(`speed=${speedMps.toFixed(3)}\ndemanded_speed=${demandedMps.toFixed(2)}\n`);
      if (horizontal !== undefined) {
        putTable("vertical", vertical);
        putTable("horizontal", horizontal);
      }
      put(`goal=${goalDeg.toFixed(2)}\n`);
      return bytes.subarray(0, end);
    },
  };
}

const RESTING: Frame = {
  // So near that nothing behind it was ever seen to be free.
  horizontal: Array<number>(RAYS).fill(0.3),
  vertical: Array.from({ length: RAYS }, (_, ray) => {
    const down = -Math.sin((ray * Math.PI) / 180);
    return down > 0 ? Math.min(30, CAR.sensorHeightM / down) : 30;
  }),
  speedMps: 0,
  goalDeg: 0,
  demandedMps: 0,
};

/** Starts the agent in this process on a clock of its own, which moves on by 10 ms per step once the agent has taken in that step's input. */
export async function startAgentSubject(decider: Decider): Promise<AgentSubject> {
  const folder = mkdtempSync(join(tmpdir(), "virgo-driving-"));
  const file = join(folder, "virgo.yaml");
  writeFileSync(file, agentConfig(decider));
  const { config, problems } = loadConfig(file, [vehicle], { checkRule });
  if (config === undefined) throw new Error(problems.map(problemText).join("\n"));
  const clock = createFakeClock();
  const startMs = clock.monotonicMs();
  const log = createFakeLog();
  const board = createSimBoard({ clock });
  const agent = await createAgent({
    config,
    stateFolder: join(folder, "state"),
    version: "0.0.0-test",
    clock,
    log,
    board,
    modules: [vehicle],
  });
  const stream = await connectRaw(agent.addresses["analytics"] ?? "");
  const gateway = await connectRaw(agent.addresses["gateway"] ?? "");
  const watch = createPortWatch(CAR.wheelbaseM);
  const text = createFrameText();
  const violations: string[] = [];
  let violationCount = 0;
  let goals = 0;

  /** Lets the agent take in what was sent. The goal comes last in every frame. */
  async function taken(): Promise<void> {
    goals += 1;
    for (let turns = 0; (agent.variables.get("goal")?.updates ?? 0) < goals; turns++) {
      if (turns > MOST_TURNS) throw new Error(`the agent took no frame at ${clock.monotonicMs()} ms`);
      await settled();
    }
    for (let turn = 0; turn < TURNS; turn++) await settled();
  }

  const duty = (channel: number): number => board.world.duty(`pwm sim:${channel}`);
  const share = (channel: number): number | undefined => {
    const pulseUs = (duty(channel) * 1e6) / PULSE.frequencyHz;
    return pulseUs === 0 ? undefined : (pulseUs - PULSE.lowUs) / (PULSE.highUs - PULSE.lowUs);
  };

  function portValues(): PortValues {
    const [accelerator, brake, steering] = [share(0), share(1), share(3)];
    return {
      acceleratorPercent: accelerator === undefined ? undefined : 100 * accelerator,
      brakePercent: brake === undefined ? undefined : 100 * brake,
      steeringDeg: steering === undefined ? undefined : (2 * steering - 1) * DECLARED.steeringDeg,
    };
  }

  async function step(frame: Frame, pedals: Pedals | undefined): Promise<void> {
    stream.send(text.of(frame));
    await taken();
    await pass(frame.speedMps, pedals);
  }

  /** 10 ms at this speed. */
  async function pass(speedMps: number, pedals: Pedals | undefined): Promise<void> {
    clock.advanceNow(DT_S * 1000);
    await settled();
    const values = portValues();
    for (const what of watch.look(values, speedMps, DT_S)) {
      violationCount += 1;
      if (violations.length < MOST_VIOLATIONS) violations.push(`${clock.monotonicMs() - startMs} ms: ${what}`);
    }
    if (pedals === undefined) return;
    pedals.acceleratorPercent = values.acceleratorPercent ?? 0;
    pedals.brakePercent = values.brakePercent ?? 0;
    pedals.steeringDeg = values.steeringDeg ?? 0;
    pedals.fuelCut = !board.world.level("GPIO17");
  }

  async function rest(seconds: number): Promise<void> {
    for (let at = 0; at < seconds; at += DT_S) await step(RESTING, undefined);
  }

  /** The operator's script, over the gateway. */
  async function order(line: string): Promise<void> {
    gateway.send(`${line}\r\n`);
    const reply = await gateway.take(1);
    if (reply.startsWith("-")) throw new Error(`${line}: ${reply.trim()}`);
  }

  async function arm(): Promise<void> {
    await rest(ARMING_S);
    await order("CLONE PRIORITY 10 car.arm");
    await order("CLONE PRIORITY 10 wheel.arm");
    await rest(0.1);
    await order("CLONE PRIORITY 10 car.gear D");
    await rest(TRANSITION_S);
  }

  const isTrue = (name: string): boolean => agent.variables.get(name)?.value === true;

  return {
    violations,
    violationCount: () => violationCount,
    agentMs: () => clock.monotonicMs() - startMs,
    async begin() {
      await rest(REST_S);
      if (!isTrue("car.armed") || !isTrue("wheel.armed")) await arm();
    },
    step,
    async silence(ms, pedals) {
      const speedMps = Number(agent.variables.get("speed")?.value ?? 0);
      for (let at = 0; at < ms; at += DT_S * 1000) await pass(speedMps, pedals);
    },
    async close() {
      stream.destroy();
      gateway.destroy();
      await agent.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
