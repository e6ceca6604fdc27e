// What the agent under test is configured with, wherever its ports are.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { PEDALS } from "./pedal-frames.ts";

export const LEASE_MS = 200;
export const STALE_MS = 200;
/** heartbeatMs × missedBeats, the keeper's defaults. */
export const SILENCE_MS = 150;
/** After braking for so long the vehicle counts as standing, and its brake is let go. */
export const STOP_MS = 1000;
/** How rules call, and who arms the vehicle for them. */
export const RULE_PRIORITY = 10;

/** Pressed so far the brake counts as pressed, which arming asks for. */
export const ARMING_BRAKE_PERCENT = 10;

export const DEVICES = ["servo", "motor", "lamp", "car"] as const;

export interface Hardware {
  /** Lines of the configuration that only this place needs. */
  readonly extra: string;
  /** `address:port` for the analytics stream. */
  readonly analytics: string;
  readonly servo: string;
  readonly motor: string;
  readonly can: string;
}

/**
 * A servo, a motor, a lamp and a vehicle's pedals; a client or, while the analytics stream says so, rules drive them. The vehicle's limits are those that let it be
 * driven again soon: a short stream arms, it counts as standing after a second of braking, and its pedals are quick. Control
 * loops may be late, because the virtual board is slow and busy: what is looked for is what follows from losing something.
 */
export function configurationText({ extra, analytics, servo, motor, can }: Hardware): string {
  return `${extra}
log: { level: warn }
devices:
  servo: { driver: servo, pwm: ${servo} }
  motor: { driver: motor, in1: GPIO5, in2: GPIO6, pwm: ${motor}, slewPercentPerS: 1000 }
  lamp: { driver: light, line: GPIO17, leaseMs: ${LEASE_MS} }
  car:
    driver: gcbaf
    atStart: stop
    accelerator: { can: { frame: pedals, signal: accelerator }, fullMps2: 2 }
    brake: { can: { frame: pedals, signal: brake }, fullMps2: 3.5 }
    can:
      interface: ${can}
      enable: { frame: pedals, signal: enable }
      frames:
        pedals:
          id: ${PEDALS.id}
          length: 4
          periodMs: 10
          signals:
            accelerator: { startBit: ${8 * PEDALS.acceleratorByte}, lengthBits: 8, scale: 0.5 }
            brake: { startBit: ${8 * PEDALS.brakeByte}, lengthBits: 8, scale: 0.5 }
            enable: { startBit: 16, lengthBits: 1 }
          counter: { startBit: 20, lengthBits: 4 }
          checksum: { kind: crc8, byte: 3 }
    limits:
      armStreamMs: 500
      brakePressedPercent: ${ARMING_BRAKE_PERCENT}
      lossStopMs: ${STOP_MS}
      holdMs: 0
      degradeMissed: 999
      stopMissed: 1000
      lossJerkMps3: 10
      acceleratorSlewPercentPerS: 1000
      brakeSlewPercentPerS: 1000
      accelerationJerkMps3: 80
      transitionJerkMps3: 80
motion: { watchdogPeriods: 100, overruns: 1000 }
keeper: { crashes: 100, restartMinMs: 50, restartMaxMs: 50 }
analytics:
  sources: [{ tcp: "${analytics}", listen: true }]
  variables: { distance_m: { staleMs: ${STALE_MS} }, accelerator: { staleMs: ${STALE_MS} }, brake: { staleMs: ${STALE_MS} } }
rules:
  turn: { when: distance_m < 5.0, call: servo.angle(30.0), leaseMs: ${LEASE_MS}, priority: ${RULE_PRIORITY} }
  go: { when: distance_m < 5.0, call: motor.speed(60.0), leaseMs: ${LEASE_MS}, priority: ${RULE_PRIORITY} }
  warn: { when: distance_m < 5.0, call: lamp.on(), leaseMs: ${LEASE_MS}, priority: ${RULE_PRIORITY} }
  drive: { when: distance_m < 5.0, call: "car.drive(accelerator, brake)", leaseMs: ${LEASE_MS}, priority: ${RULE_PRIORITY} }
`;
}

/** The folder the agent runs in. */
export function writeConfiguration(folder: string, hardware: Hardware): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "virgo.yaml"), configurationText(hardware));
}
