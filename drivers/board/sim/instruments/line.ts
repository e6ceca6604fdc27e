import type { Cancel } from "../../../../agent/contract/clock.ts";
import type { SimInstrument } from "../serial.ts";

/** An instrument on the simulated board that speaks in lines. */
export interface SimLineInstrument extends SimInstrument {
  /** Every line it got, without its end. */
  readonly got: string[];
  /** What it sends by itself, once a period; undefined: nothing. */
  say(line: string | undefined): void;
}

export interface SimLineOptions {
  /** What it answers to a line; undefined: nothing. */
  readonly answer?: (line: string) => string | undefined;
  readonly periodMs?: number;
}

/** Lines end with a line feed both ways. */
export function createSimLineInstrument({ answer = () => undefined, periodMs = 1000 }: SimLineOptions = {}): SimLineInstrument {
  const got: string[] = [];
  let saying: string | undefined;
  return {
    got,
    say(line) {
      saying = line;
    },
    start({ clock, send }) {
      let text = "";
      let cancel: Cancel;
      const arm = (): void => {
        cancel = clock.after(periodMs, () => {
          arm();
          if (saying !== undefined) send(Buffer.from(`${saying}\n`, "latin1"));
        });
      };
      arm();
      return {
        receive(bytes) {
          const lines = (text + Buffer.from(bytes).toString("latin1")).split("\n");
          text = lines.pop() ?? "";
          for (const line of lines) {
            got.push(line);
            const reply = answer(line);
            if (reply !== undefined) send(Buffer.from(`${reply}\n`, "latin1"));
          }
        },
        stop: () => cancel(),
      };
    },
  };
}
