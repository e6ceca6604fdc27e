/** One value of service 01 (SAE J1979, table of parameters; ISO 15031-5). */
export interface Pid {
  /** Under which it is published. */
  readonly variable: string;
  /** Two hexadecimal digits. */
  readonly code: string;
  /** Of the answer. */
  readonly bytes: 1 | 2 | 4;
  value(a: number, b: number): number;
}

const KMH_PER_MPS = 3.6;

/** What can be asked for, by the names of the options. */
export const PIDS = {
  speed: { variable: "speed_mps", code: "0D", bytes: 1, value: (a) => round(a / KMH_PER_MPS) },
  rpm: { variable: "rpm", code: "0C", bytes: 2, value: (a, b) => (a * 256 + b) / 4 },
  throttle: { variable: "throttle_ratio", code: "11", bytes: 1, value: (a) => round(a / 255) },
  coolant: { variable: "coolant_c", code: "05", bytes: 1, value: (a) => a - 40 },
  fuel: { variable: "fuel_ratio", code: "2F", bytes: 1, value: (a) => round(a / 255) },
} as const satisfies Readonly<Record<string, Pid>>;

export type PidName = keyof typeof PIDS;

/** Bytes A and B of the first line that answers the request for `code` with as many bytes as there have to be; undefined when none does. */
export function answerOf(lines: readonly string[], code: string, bytes: number): readonly number[] | undefined {
  const found = lines.find((line) => isAnswer(line, code, bytes));
  return found === undefined ? undefined : bytesOf(found);
}

/** The codes a vehicle answers, from the bit maps of all its control units to the request for `code`, which is 00 or 20. */
export function supportedIn(lines: readonly string[], code: "00" | "20"): ReadonlySet<string> {
  const codes = new Set<string>();
  const base = Number.parseInt(code, 16);
  for (const line of lines) {
    if (!isAnswer(line, code, 4)) continue;
    bytesOf(line).forEach((byte, at) => {
      for (let bit = 0; bit < 8; bit++) {
        if ((byte & (0x80 >> bit)) !== 0) codes.add(hex(base + at * 8 + bit + 1));
      }
    });
  }
  return codes;
}

function isAnswer(line: string, code: string, bytes: number): boolean {
  return line.length === 4 + bytes * 2 && line.startsWith(`41${code}`) && /^[0-9A-F]+$/.test(line);
}

function bytesOf(line: string): number[] {
  const bytes: number[] = [];
  for (let at = 4; at < line.length; at += 2) bytes.push(Number.parseInt(line.slice(at, at + 2), 16));
  return bytes;
}

function hex(code: number): string {
  return code.toString(16).toUpperCase().padStart(2, "0");
}

/** To a thousandth: finer than what is sent. */
function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
