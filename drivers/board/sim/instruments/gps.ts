import type { Cancel } from "../../../../agent/contract/clock.ts";
import type { SimInstrument } from "../serial.ts";

/** A satellite receiver on the simulated board. */
export interface SimGps extends SimInstrument {
  /** The bodies it sends from now on, once a period: `GPGGA,123519,…` without `$` and checksum. */
  say(bodies: readonly string[]): void;
}

/** `$GPGGA,…*47` and the end of the line: with the exclusive or of all bytes of the body (NMEA 0183). */
export function nmeaSentence(body: string): string {
  let sum = 0;
  for (const byte of Buffer.from(body, "latin1")) sum ^= byte;
  return `$${body}*${sum.toString(16).toUpperCase().padStart(2, "0")}\r\n`;
}

/** Sends every `periodMs`, 1000 as receivers come from the factory. Without a fix at first. */
export function createSimGps(periodMs = 1000): SimGps {
  let bodies: readonly string[] = ["GPGGA,,,,,,0,00,99.99,,,,,,", "GPRMC,,V,,,,,,,,,,N"];
  return {
    say(next) {
      bodies = next;
    },
    start({ clock, send }) {
      let cancel: Cancel;
      const arm = (): void => {
        cancel = clock.after(periodMs, () => {
          arm();
          send(Buffer.from(bodies.map(nmeaSentence).join(""), "latin1"));
        });
      };
      arm();
      return { receive: () => undefined, stop: () => cancel() };
    },
  };
}
