import { AgentError } from "../../agent/contract/errors.ts";
import { exceptionText, findReply, MODBUS_MAX_BYTES, type ModbusReply, type ModbusRequest } from "./modbus-frames.ts";
import type { Cancel, Clock } from "../../agent/contract/clock.ts";
import type { SerialStream } from "../../agent/contract/serial.ts";

export interface ModbusBusOptions {
  readonly baudRate: number;
  readonly timeoutMs: number;
}

export interface ModbusCounters {
  readonly requests: number;
  readonly replies: number;
  readonly exceptions: number;
  readonly timeouts: number;
  /** Replies that came, as long as they had to be, with something wrong in them. */
  readonly crcErrors: number;
  /** Bytes that no request was waiting for. */
  readonly strayBytes: number;
}

/** One line, one request at a time. */
export interface ModbusBus {
  /**
   * The data of the reply. Rejects TIMEOUT when none comes, IO for a wrong one and when the port is lost, NOT_READY while it is not there or the
   * instrument is busy, ARGUMENT for what it refuses, FULL when too many requests wait.
   */
  request(request: ModbusRequest): Promise<Uint8Array>;
  /** The same before all that wait, which are refused: for what must be safe. */
  urgent(request: ModbusRequest): Promise<Uint8Array>;
  counters(): ModbusCounters;
  close(): void;
}

/** Requests that may wait: more than a few seconds of them are late anyway. */
const MAX_WAITING = 64;

/** Silence between frames: 3.5 characters of 11 bits, 1.75 ms above 19,200 bit/s (MODBUS over Serial Line V1.02, section 2.5.1.1). */
function gapMs(baudRate: number): number {
  return baudRate > 19_200 ? 1.75 : (3.5 * 11 * 1000) / baudRate;
}

interface Waiting {
  readonly request: ModbusRequest;
  readonly resolve: (data: Uint8Array) => void;
  readonly reject: (error: AgentError) => void;
}

export function createModbusBus(name: string, clock: Clock, stream: SerialStream, options: ModbusBusOptions): ModbusBus {
  const { timeoutMs, baudRate } = options;
  const bytes = new Uint8Array(MODBUS_MAX_BYTES);
  const waiting: Waiting[] = [];
  const counts = { requests: 0, replies: 0, exceptions: 0, timeouts: 0, crcErrors: 0, strayBytes: 0 };
  let length = 0;
  let current: Waiting | undefined;
  /** Until then nothing is sent: the line rests, or a reply that is late must not pass for the next one's. */
  let resting = false;
  let cancelTimer: Cancel | undefined;

  function rest(restMs: number): void {
    resting = true;
    cancelTimer?.();
    cancelTimer = clock.after(restMs, () => {
      resting = false;
      next();
    });
  }

  function next(): void {
    if (resting || current !== undefined) return;
    const one = waiting.shift();
    if (one === undefined) return;
    length = 0;
    try {
      stream.write(one.request.frame);
    } catch (thrown) {
      one.reject(thrown instanceof AgentError ? thrown : new AgentError("IO", `${name}: ${String(thrown)}`));
      next();
      return;
    }
    current = one;
    counts.requests += 1;
    cancelTimer = clock.after(timeoutMs, timedOut);
  }

  function timedOut(): void {
    const one = current;
    current = undefined;
    // A reply says nothing of which request it is for: one that comes now is still this one's.
    rest(timeoutMs);
    if (one === undefined) return;
    const { unitId, replyBytes } = one.request;
    if (length >= replyBytes) {
      counts.crcErrors += 1;
      one.reject(new AgentError("IO", `${name}: the reply of unit ${unitId} is wrong or damaged; check the wires and the line's parity`));
    } else {
      counts.timeouts += 1;
      const came = length === 0 ? "" : `, ${length} bytes of ${replyBytes} came`;
      one.reject(
        new AgentError("TIMEOUT", `${name}: unit ${unitId} did not answer within ${timeoutMs} ms${came}; is it on, and its number right?`),
      );
    }
  }

  function settle(one: Waiting, reply: ModbusReply): void {
    current = undefined;
    rest(gapMs(baudRate));
    counts.replies += 1;
    if ("data" in reply) {
      one.resolve(reply.data);
      return;
    }
    counts.exceptions += 1;
    const { exception } = reply;
    const refused = exception >= 1 && exception <= 3 ? "ARGUMENT" : exception === 6 ? "NOT_READY" : "IO";
    one.reject(new AgentError(refused, `${name}: unit ${one.request.unitId} answers ${exceptionText(exception)}`));
  }

  const cancelData = stream.onData((chunk) => {
    const one = current;
    const taken = one === undefined ? 0 : Math.min(chunk.length, bytes.length - length);
    counts.strayBytes += chunk.length - taken;
    if (one === undefined) return;
    bytes.set(taken === chunk.length ? chunk : chunk.subarray(0, taken), length);
    length += taken;
    const reply = findReply(one.request, bytes, length);
    if (reply !== undefined) settle(one, reply);
  });

  const cancelState = stream.onState((state, reason) => {
    if (state === "open") return;
    const lost = [...(current === undefined ? [] : [current]), ...waiting.splice(0)];
    current = undefined;
    resting = false;
    cancelTimer?.();
    for (const one of lost) one.reject(new AgentError("IO", `${name}: ${reason}`));
  });

  function enqueue(request: ModbusRequest, first: boolean): Promise<Uint8Array> {
    if (stream.state() !== "open") return Promise.reject(new AgentError("NOT_READY", `${name}: ${stream.reason()}`));
    if (first) dropWaiting();
    if (waiting.length >= MAX_WAITING) {
      return Promise.reject(new AgentError("FULL", `${name}: ${MAX_WAITING} requests wait already; poll less often`));
    }
    return new Promise((resolve, reject) => {
      waiting.push({ request, resolve, reject });
      next();
    });
  }

  const urgentRequests = new Set<ModbusRequest>();

  function dropWaiting(): void {
    const dropped = waiting.filter(({ request }) => !urgentRequests.has(request));
    const kept = waiting.filter(({ request }) => urgentRequests.has(request));
    waiting.splice(0, waiting.length, ...kept);
    for (const one of dropped) one.reject(new AgentError("NOT_READY", `${name}: made safe before its turn`));
  }

  return {
    request: (request) => enqueue(request, false),
    async urgent(request) {
      urgentRequests.add(request);
      try {
        return await enqueue(request, true);
      } finally {
        urgentRequests.delete(request);
      }
    },
    counters: () => ({ ...counts }),
    close() {
      cancelTimer?.();
      cancelData();
      cancelState();
      const lost = [...(current === undefined ? [] : [current]), ...waiting.splice(0)];
      current = undefined;
      for (const one of lost) one.reject(new AgentError("NOT_READY", `${name} is closed`));
    },
  };
}
