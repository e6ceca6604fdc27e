import type { Cancel } from "../../../../agent/contract/clock.ts";
import type { SimInstrument } from "../serial.ts";

/** An ELM327 in a vehicle's socket, on the simulated board. */
export interface SimElm327 extends SimInstrument {
  /** What the vehicle answers to a request of service 01, by its two digits: lines as on the bus, `410D3C`; none: NO DATA. */
  answer(code: string, ...lines: readonly string[]): void;
  /** What the adapter says to exactly this command from now on, instead of what it would; undefined: as it would. */
  say(command: string, text: string | undefined): void;
  /** Without it nothing on the bus answers. */
  ignition(on: boolean): void;
  /** Commands received, blanks removed. */
  readonly commands: readonly string[];
}

const BANNER = "\r\rELM327 v1.5\r";

/** Answers every command `replyMs` after its carriage return; echoes until told not to. */
export function createSimElm327(replyMs = 40): SimElm327 {
  const answers = new Map<string, readonly string[]>();
  const said = new Map<string, string>();
  const commands: string[] = [];
  let running = true;

  function reply(command: string): string {
    const instead = said.get(command);
    if (instead !== undefined) return instead;
    if (command === "ATZ") return BANNER;
    if (command.startsWith("AT")) return /^AT(E0|L0|S0|H0|SP[0-9A-C])$/.test(command) ? "OK\r" : "?\r";
    if (!/^01[0-9A-F]{2}1?$/.test(command)) return "?\r";
    const lines = answers.get(command.slice(2, 4)) ?? [];
    if (!running) return command === "0100" ? "SEARCHING...\rUNABLE TO CONNECT\r" : "NO DATA\r";
    if (lines.length === 0) return "NO DATA\r";
    return `${command === "0100" ? "SEARCHING...\r" : ""}${lines.map((line) => `${line}\r`).join("")}`;
  }

  return {
    commands,
    answer(code, ...lines) {
      answers.set(code, lines);
    },
    say(command, text) {
      if (text === undefined) said.delete(command);
      else said.set(command, text);
    },
    ignition(on) {
      running = on;
    },
    start(line) {
      let text = "";
      let echo = true;
      let cancel: Cancel | undefined;

      function obey(command: string): void {
        commands.push(command);
        if (command === "ATZ") echo = true;
        const echoed = echo ? `${command}\r` : "";
        if (command === "ATE0") echo = false;
        cancel = line.clock.after(replyMs, () => {
          cancel = undefined;
          line.send(Buffer.from(`${echoed}${reply(command)}\r>`, "latin1"));
        });
      }

      return {
        receive(bytes) {
          if (cancel !== undefined) {
            cancel();
            cancel = undefined;
            line.send(Buffer.from("STOPPED\r\r>", "latin1"));
          }
          text += Buffer.from(bytes).toString("latin1").replaceAll(" ", "").toUpperCase();
          for (let end = text.indexOf("\r"); end >= 0; end = text.indexOf("\r")) {
            const command = text.slice(0, end);
            text = text.slice(end + 1);
            obey(command);
          }
        },
        stop: () => cancel?.(),
      };
    },
  };
}
