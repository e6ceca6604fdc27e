import { AgentError, messageOf } from "../contract/errors.ts";
import { lineText, pwmText, type Board, type DigitalInput, type DigitalOutput, type DigitalOutputs } from "../contract/board.ts";
import { i2cText } from "../contract/i2c.ts";
import type { CanChannel } from "../contract/can.ts";
import type { InputOptions, LineRef, PwmOutput, PwmRef } from "../contract/board.ts";
import type { OfferedChip, PortOwner } from "../contract/device.ts";
import type { Offers } from "./offers.ts";
import type { Eventually } from "../contract/value.ts";
import type { SerialStream } from "../contract/serial.ts";

/** What one device sees of the board, and what is known of its ports. */
export interface ScopedBoard {
  readonly board: Board;
  /**
   * Nothing can be opened any more; what is still open is closed. Answers what that was: `line GPIO17`, with the reason where it did not close. Calling
   * it again answers the same.
   */
  end(): Promise<readonly string[]>;
}

interface Closable {
  close(): Eventually<void>;
}

/**
 * The board as one device gets it: every port it opens is owned by the device and known, so that none outlives it; what its listeners throw is
 * `fault`, not the end of the process. A chip that another device offers is looked for before the board's own; `lost` is told of a port of it that is lost.
 */
export function createScopedBoard(
  board: Board,
  owner: string,
  fault: (error: unknown) => void,
  offers?: Pick<Offers, "find">,
  lost: PortOwner["lost"] = fault,
): ScopedBoard {
  const open = new Map<object, { readonly what: string; readonly port: Closable }>();
  let ended: Promise<readonly string[]> | undefined;

  function mustBeOpen(what: string): void {
    if (ended !== undefined) throw new AgentError("NOT_READY", `${owner} is closed; it cannot open ${what}`);
  }

  async function opened<Port extends Closable>(what: string, openPort: () => Promise<Port>): Promise<Port> {
    mustBeOpen(what);
    const port = await openPort();
    try {
      mustBeOpen(what);
    } catch (error) {
      // The device was closed while its port was on the way.
      await port.close();
      throw error;
    }
    const key = {};
    open.set(key, { what, port });
    return {
      ...port,
      close() {
        open.delete(key);
        return port.close();
      },
    };
  }

  function guarded<Told>(listener: (told: Told) => void): (told: Told) => void {
    return (told) => {
      try {
        listener(told);
      } catch (error) {
        fault(error);
      }
    };
  }

  function guardedTwo<First, Second>(listener: (first: First, second: Second) => void): (first: First, second: Second) => void {
    return (first, second) => {
      try {
        listener(first, second);
      } catch (error) {
        fault(error);
      }
    };
  }

  async function closeAll(): Promise<readonly string[]> {
    const left = [...open.values()];
    open.clear();
    return Promise.all(left.map(closeLeft));
  }

  async function closeLeft({ what, port }: { readonly what: string; readonly port: Closable }): Promise<string> {
    try {
      await port.close();
      return what;
    } catch (error) {
      return `${what} (${messageOf(error)})`;
    }
  }

  function end(): Promise<readonly string[]> {
    ended ??= closeAll();
    return ended;
  }

  const self: PortOwner = { id: owner, lost };

  function offeredLine(line: LineRef): { readonly chip: OfferedChip; readonly offset: number } | undefined {
    if (!("chip" in line)) return undefined;
    const chip = offers?.find(line.chip);
    return chip && { chip, offset: line.offset };
  }

  async function openOutput(line: LineRef, initial: boolean): Promise<DigitalOutput> {
    const offered = offeredLine(line);
    if (offered === undefined) return board.openOutput(owner, line, initial);
    const outputs = await offered.chip.openOutputs(self, [offered.offset], [initial]);
    return {
      write: (level) => outputs.write([level]),
      level: () => outputs.levels()[0] === true,
      close: () => outputs.close(),
    };
  }

  async function openOutputs(lines: readonly LineRef[], initial: readonly boolean[]): Promise<DigitalOutputs> {
    const offered = lines.map(offeredLine);
    const chip = offered[0]?.chip;
    if (offered.every((line) => line === undefined)) return board.openOutputs(owner, lines, initial);
    const offsets = offered.flatMap((line) => (line !== undefined && line.chip === chip ? [line.offset] : []));
    if (chip === undefined || offsets.length < lines.length) {
      throw new AgentError(
        "ARGUMENT",
        `${owner}: ${lines.map(lineText).join(", ")} are not on one chip; lines that are written together have to be`,
      );
    }
    return chip.openOutputs(self, offsets, initial);
  }

  async function openInput(line: LineRef, options: InputOptions): Promise<DigitalInput> {
    const offered = offeredLine(line);
    return offered === undefined ? board.openInput(owner, line, options) : offered.chip.openInput(self, offered.offset, options);
  }

  async function openPwm(channel: PwmRef, periodNs: number): Promise<PwmOutput> {
    const chip = "chip" in channel ? offers?.find(channel.chip) : undefined;
    if (chip === undefined || !("chip" in channel)) return board.openPwm(owner, channel, periodNs);
    return chip.openPwm(self, channel.channel, periodNs);
  }

  return {
    end,
    board: {
      describe: () => board.describe(),
      openOutput: (_owner, line, initial) => opened(`line ${lineText(line)}`, () => openOutput(line, initial)),
      openOutputs: (_owner, lines, initial) =>
        opened(lines.map((line) => `line ${lineText(line)}`).join(", "), () => openOutputs(lines, initial)),
      async openInput(_owner, line, options) {
        const input = await opened<DigitalInput>(`line ${lineText(line)}`, () => openInput(line, options));
        return { ...input, onEdge: (listener, failed = fault) => input.onEdge(guarded(listener), failed) };
      },
      openPwm: (_owner, channel, periodNs) => opened(pwmText(channel), () => openPwm(channel, periodNs)),
      openI2c: (_owner, chip) => opened(i2cText(chip), () => board.openI2c(owner, chip)),
      async openCan(_owner, interfaceName) {
        const channel = await opened<CanChannel>(`can ${interfaceName}`, () => board.openCan(owner, interfaceName));
        return {
          ...channel,
          onFrame: (filters, listener) => channel.onFrame(filters, guarded(listener)),
          onState: (listener) => channel.onState(guardedTwo(listener)),
        };
      },
      async openSerial(_owner, path, options) {
        const stream = await opened<SerialStream>(`serial ${path}`, () => board.openSerial(owner, path, options));
        return {
          ...stream,
          onData: (listener) => stream.onData(guardedTwo(listener)),
          onState: (listener) => stream.onState(guardedTwo(listener)),
        };
      },
      async close() {
        await end();
      },
    },
  };
}
