import { z } from "zod";

import { AgentError } from "../../agent/contract/errors.ts";
import {
  ANSWER,
  createAnswerReader,
  healthOf,
  infoOf,
  motorRequest,
  REQUEST,
  type ScannerHealth,
  type ScannerInfo,
} from "./rplidar-replies.ts";
import { createScanDecoder } from "./rplidar-scan.ts";
import { defineFunction, type Device, type DeviceContext } from "../../agent/contract/device.ts";
import type { Cancel } from "../../agent/contract/clock.ts";
import type { ScannerOptions } from "./lidar-options.ts";
import type { SerialStream } from "../../agent/contract/serial.ts";

/** After STOP nothing may be asked for a millisecond (LR001, "Stop scanning"); nodes on the way need some more. */
const STOP_MS = 20;

/** A table may be relied on for so many turns. */
const FRESH_TURNS = 3;

/** Share of the latest turn in the mean of their durations. */
const LATEST_SHARE = 0.2;

/** `lost`: the port is. The others: what is waited for. */
type Phase = "lost" | "stopping" | "info" | "health" | "scan" | "scanning";

/** A scanner: asked who it is and how, then told to scan; all of that again whenever the port has returned. */
export function createRplidar(context: DeviceContext, stream: SerialStream, options: ScannerOptions): Device {
  const { replyMs, turnMs, motorPwm, publish: tableName } = options;
  let phase: Phase = "lost";
  let cancelWait: Cancel | undefined;
  let info: ScannerInfo | undefined;
  let health: ScannerHealth | undefined;
  let turnAtMs = -Infinity;
  /** Undefined before the second table. */
  let meanTurnMs: number | undefined;
  let published: boolean | undefined;
  const reader = createAnswerReader(onAnswer);
  const decoder = createScanDecoder(options, onTable);

  function showOk(ok: boolean): void {
    if (ok === published) return;
    published = ok;
    context.publish("ok", ok);
  }

  function onTable(distancesM: readonly number[]): void {
    const nowMs = context.clock.monotonicMs();
    const lastMs = nowMs - turnAtMs;
    turnAtMs = nowMs;
    if (lastMs < turnMs) meanTurnMs = meanTurnMs === undefined ? lastMs : meanTurnMs + (lastMs - meanTurnMs) * LATEST_SHARE;
    context.publish(tableName, distancesM, meanTurnMs === undefined ? turnMs : Math.max(1, meanTurnMs * FRESH_TURNS));
    showOk(true);
  }

  function wait(next: Phase, waitMs: number, then: () => void): void {
    cancelWait?.();
    phase = next;
    cancelWait = context.clock.after(waitMs, then);
  }

  function ask(next: "info" | "health" | "scan", request: Uint8Array): void {
    reader.restart();
    stream.write(request);
    wait(next, replyMs, () => stream.reopen(`${context.id}: no answer to the request for ${next} within ${replyMs} ms; is it an RPLIDAR?`));
  }

  function begin(): void {
    decoder.restart();
    turnAtMs = -Infinity;
    meanTurnMs = undefined;
    // It may still be scanning for somebody who is gone.
    stream.write(REQUEST.stop);
    wait("stopping", STOP_MS, () => {
      if (motorPwm !== undefined) stream.write(motorRequest(motorPwm));
      ask("info", REQUEST.info);
    });
  }

  function lose(): void {
    cancelWait?.();
    phase = "lost";
    showOk(false);
  }

  function onHealth(answer: Uint8Array): void {
    health = healthOf(answer);
    if (health === undefined) return;
    context.publish("health", health.status);
    if (health.status === "error") {
      lose();
      context.fault(
        new AgentError(
          "FAULTED",
          `${context.id}: the scanner reports error ${health.code}; switch it off and on, and look whether it turns`,
        ),
      );
      return;
    }
    ask("scan", REQUEST.scan);
  }

  function onAnswer(type: number, answer: Uint8Array): void {
    if (phase === "info" && type === ANSWER.info) {
      info = infoOf(answer);
      if (info !== undefined) ask("health", REQUEST.health);
    } else if (phase === "health" && type === ANSWER.health) onHealth(answer);
    else if (phase === "scan" && type === ANSWER.scan) awaitTurn();
  }

  function awaitTurn(): void {
    const sinceMs = context.clock.monotonicMs();
    wait("scanning", turnMs, function look() {
      const dueMs = Math.max(turnAtMs, sinceMs) + turnMs - context.clock.monotonicMs();
      if (dueMs > 0) {
        wait("scanning", dueMs, look);
        return;
      }
      showOk(false);
      stream.reopen(`${context.id}: no whole turn within ${turnMs} ms; does the scanner turn?`);
    });
  }

  showOk(false);
  stream.onState((state) => {
    if (state === "open") begin();
    else lose();
  });
  stream.onData((bytes) => {
    if (phase === "scanning") decoder.push(bytes);
    else if (phase !== "lost" && phase !== "stopping") {
      const taken = reader.push(bytes);
      if (taken < bytes.length) decoder.push(bytes.subarray(taken));
    }
  });
  if (stream.state() === "open") begin();
  return {
    functions: {
      state: defineFunction({
        summary: "what the scanner is and how it is, turns a second, tables, nodes, and how often these had to be looked for anew",
        params: z.strictObject({}),
        effect: "read",
        call: () => ({
          phase,
          model: info?.model ?? null,
          firmware: info?.firmware ?? null,
          serial: info?.serial ?? null,
          health: health?.status ?? null,
          turnsHz: meanTurnMs === undefined ? null : Math.round(10_000 / meanTurnMs) / 10,
          tables: decoder.tables,
          nodes: decoder.nodes,
          resyncs: decoder.resyncs,
          port: stream.reason(),
        }),
      }),
    },
    async close() {
      cancelWait?.();
      try {
        if (stream.state() === "open") stream.write(REQUEST.stop);
      } finally {
        await stream.close();
      }
    },
  };
}
