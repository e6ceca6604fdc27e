import { EXIT } from "./exit.ts";
import { examine } from "./examination.ts";
import { jsonText } from "./print.ts";
import type { Finding } from "./finding.ts";
import type { CliIo } from "./io.ts";

export interface DoctorOptions {
  readonly config?: string;
  readonly state?: string;
  readonly json?: boolean;
}

const MARKS = { ok: "ok  ", note: "    ", mend: "!!  " } as const;

/** `virgo doctor`: what this machine offers the agent, and the command that mends what is missing. */
export async function doctorCommand(options: DoctorOptions, io: CliIo): Promise<number> {
  const findings = await examine(options, io.env);
  const toMend = findings.filter((finding) => finding.verdict === "mend");
  if (options.json === true) io.out(jsonText({ ok: toMend.length === 0, findings }));
  else {
    const width = Math.max(...findings.map((finding) => finding.about.length));
    for (const finding of findings) io.out(findingText(finding, width));
    io.out(toMend.length === 0 ? "All is well.\n" : `${toMend.length} to mend.\n`);
  }
  return toMend.length === 0 ? EXIT.ok : EXIT.failure;
}

function findingText({ about, verdict, text, fix }: Finding, width: number): string {
  const line = `${MARKS[verdict]}${about.padEnd(width)}  ${text}\n`;
  return fix === undefined ? line : `${line}${" ".repeat(width + 6)}run: ${fix}\n`;
}
