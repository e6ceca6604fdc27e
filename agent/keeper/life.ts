import { AgentError, messageOf } from "../contract/errors.ts";
import { createBeatWatch, type BeatWatch } from "./policy.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { KeeperOptions } from "./options.ts";
import type { HostProcess } from "./process.ts";

/** How one process of the device host ended. */
export interface Ending {
  /** `killed: no sign of life for 150 ms, while opening device pump` */
  readonly text: string;
  /** It ended as it was asked to, everything in its exit state. */
  readonly clean: boolean;
  /** From when it was ready; 0 when it never was. */
  readonly healthyForMs: number;
  /** What it was loading or opening. */
  readonly doing: string | undefined;
  /** What it said of itself before it was ready: that it cannot start, and why. */
  readonly refused: AgentError | undefined;
  /** Resolves when the process is gone: at once, but for one that was killed and does not go, since the kernel itself waits for something. */
  readonly gone: Promise<void>;
  /** It was killed and has not gone. */
  readonly stuck: boolean;
}

/** One process of the device host, from its start to its end. */
export interface Life {
  readonly pid: number;
  readonly ready: boolean;
  readonly ended: Promise<Ending>;
  beat(): void;
  doing(text: string | undefined): void;
  /** Asks it to end, and kills it when it does not. */
  end(): void;
}

export interface LifeOptions {
  readonly process: HostProcess;
  readonly attach: (process: HostProcess) => Promise<void>;
  readonly options: KeeperOptions;
  readonly clock: Clock;
  readonly onReady: () => void;
}

/** A process that was killed goes at once, unless a driver of the kernel keeps it. */
const KILL_MS = 1000;

/** From the end of its stream to its own end: what it was it says with its exit code. */
const LAST_WORDS_MS = 100;

export function startLife({ process, attach, options, clock, onReady }: LifeOptions): Life {
  const timers: Cancel[] = [];
  let watch: BeatWatch | undefined;
  let readyMs: number | undefined;
  let doing: string | undefined;
  let refused: AgentError | undefined;
  let killedFor: string | undefined;
  let asked = false;
  let over = false;
  let cancelWatch: Cancel = () => undefined;
  let stuck: (() => void) | undefined;

  function kill(why: string): void {
    if (over || killedFor !== undefined) return;
    killedFor = why;
    timers.push(clock.after(KILL_MS, () => stuck?.()));
    process.kill("SIGKILL");
  }

  function endingOf(how: string, clean: boolean, gone: Promise<void>, isStuck: boolean): Ending {
    over = true;
    for (const cancel of timers) cancel();
    cancelWatch();
    const during = doing === undefined ? "" : `, while ${doing}`;
    return {
      text: (killedFor === undefined ? how : `killed: ${killedFor}`) + during,
      clean,
      healthyForMs: readyMs === undefined ? 0 : clock.monotonicMs() - readyMs,
      doing,
      refused,
      gone,
      stuck: isStuck,
    };
  }

  const ended = new Promise<Ending>((resolve) => {
    const gone = new Promise<void>((resolveGone) => {
      process.onExit((code, signal) => {
        resolveGone();
        const how = signal === null ? `exit code ${code ?? "unknown"}` : `signal ${signal}`;
        resolve(endingOf(how, asked && killedFor === undefined && code === 0, Promise.resolve(), false));
      });
    });
    stuck = () => {
      resolve(endingOf("", false, gone, true));
    };
  });

  timers.push(
    clock.after(options.openMs, () => {
      if (readyMs === undefined) kill(`it was not ready after ${options.openMs} ms`);
    }),
  );

  /** Kills it when it is silent for too long. */
  function watchBeats(beats: BeatWatch, afterMs: number): void {
    const dueMs = clock.monotonicMs() + afterMs;
    cancelWatch = clock.after(afterMs, () => {
      const nowMs = clock.monotonicMs();
      const nextMs = beats.check(nowMs, nowMs - dueMs);
      if (nextMs > 0) watchBeats(beats, nextMs);
      else kill(`no sign of life for ${options.missedBeats} periods of ${options.heartbeatMs} ms`);
    });
  }

  attach(process).then(
    () => {
      if (over || killedFor !== undefined) return;
      readyMs = clock.monotonicMs();
      watch = createBeatWatch(options, readyMs);
      if (!asked) watchBeats(watch, options.heartbeatMs * options.missedBeats);
      onReady();
    },
    (error: unknown) => {
      // What goes wrong on the way is IO; anything else it has said itself.
      if (error instanceof AgentError && error.code !== "IO") refused = error;
      if (!over) timers.push(clock.after(LAST_WORDS_MS, () => kill(messageOf(error))));
    },
  );

  return {
    pid: process.pid,
    ended,
    get ready() {
      return readyMs !== undefined;
    },
    beat() {
      watch?.beat(clock.monotonicMs());
    },
    doing(text) {
      doing = text;
    },
    end() {
      if (asked) return;
      asked = true;
      // Closing takes its time.
      cancelWatch();
      timers.push(clock.after(options.stopMs, () => kill(`it did not end within ${options.stopMs} ms`)));
      process.kill("SIGTERM");
    },
  };
}
