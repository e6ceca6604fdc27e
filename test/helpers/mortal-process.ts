// Processes that die in the middle of what they do, on a simulated board that goes on: what each leaves behind is what the kernel and the chips leave.
import { createPca9685Channels } from "../../drivers/board/pca9685.ts";
import { lineRef, pwmText, type Board, type PwmOutput } from "../../agent/contract/board.ts";
import type { Cancel, Clock } from "../../agent/contract/clock.ts";
import type { Eventually } from "../../agent/contract/value.ts";

/** A process as far as devices see it. */
export interface MortalProcess {
  readonly board: Board;
  readonly clock: Clock;
  /**
   * Killed: no timer of it runs any more. Its lines are inputs again, its sockets are closed; PWM channels of the kernel and chips on I2C go on with what
   * they were told last.
   */
  die(): Promise<void>;
}

/** What several processes have one after the other. */
export interface Machine {
  startProcess(): MortalProcess;
}

export function createMachine(board: Board, clock: Clock): Machine {
  /** Channels of the kernel that go on without anybody, by name. */
  const left = new Map<string, PwmOutput>();

  function startProcess(): MortalProcess {
    const ports = new Set<{ close(): Eventually<void> }>();
    const channels = new Map<string, PwmOutput>();
    const timers = new Set<Cancel>();
    let alive = true;

    async function held<Port extends { close(): Eventually<void> }>(opening: Promise<Port>): Promise<Port> {
      const port = await opening;
      ports.add(port);
      return port;
    }

    function after(delayMs: number, run: () => void): Cancel {
      const cancel = clock.after(delayMs, () => {
        timers.delete(cancel);
        if (alive) run();
      });
      timers.add(cancel);
      return () => {
        timers.delete(cancel);
        cancel();
      };
    }

    /** A channel that somebody left is at 0 before anything else, as drivers/board/linux/pwm-sysfs.ts does it. */
    async function openChannel(owner: string, name: string, open: (owner: string) => Promise<PwmOutput>): Promise<PwmOutput> {
      await left.get(name)?.close();
      left.delete(name);
      const output = await open(owner);
      channels.set(name, output);
      return {
        write: (dutyRatio) => output.write(dutyRatio),
        close() {
          channels.delete(name);
          return output.close();
        },
      };
    }

    const pca9685 = createPca9685Channels({
      openI2c: (owner, chip) => held(board.openI2c(owner, chip)),
      openOutput: (owner, line, initial) => held(board.openOutput(owner, lineRef(line), initial)),
      oscillatorStarts: () => Promise.resolve(),
    });

    return {
      clock: { monotonicMs: () => clock.monotonicMs(), wallMs: () => clock.wallMs(), after },
      board: {
        ...board,
        openOutput: (...of) => held(board.openOutput(...of)),
        openOutputs: (...of) => held(board.openOutputs(...of)),
        openInput: (...of) => held(board.openInput(...of)),
        openI2c: (...of) => held(board.openI2c(...of)),
        openCan: (...of) => held(board.openCan(...of)),
        openSerial: (...of) => held(board.openSerial(...of)),
        openPwm(owner, ref, periodNs) {
          if ("pca9685" in ref) return pca9685.open(owner, ref.pca9685, periodNs);
          return openChannel(owner, pwmText(ref), (by) => board.openPwm(by, ref, periodNs));
        },
        // The machine's board goes on.
        close: () => Promise.resolve(),
      },
      async die() {
        alive = false;
        for (const cancel of timers) cancel();
        for (const [name, output] of channels) left.set(name, output);
        for (const port of ports) await port.close();
      },
    };
  }

  return { startProcess };
}
