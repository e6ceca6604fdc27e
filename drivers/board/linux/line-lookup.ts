import { AgentError } from "../../../agent/contract/errors.ts";
import { lineRef, lineText, type ChipDescription, type LineRef } from "../../../agent/contract/board.ts";
import { didYouMean } from "../../../agent/contract/nearest.ts";

/** A GPIO chip as both backends see it. */
export interface GpioChip extends ChipDescription {
  /** Whether it is the chip of the board's pin header: then it wins where a name is on several chips. */
  readonly header: boolean;
  /** By offset; empty where a line has no name. May be shorter than `lines`. */
  readonly lineNames: readonly string[];
}

/** The GPIO controllers of the Raspberry Pi's pin header, in the device tree's words. The chip's number has changed between kernels thrice. */
const HEADER_CHIPS = new Set(["raspberrypi,rp1-gpio", "brcm,bcm2711-gpio", "brcm,bcm2835-gpio"]);

/** Whether a device tree node's `compatible` texts are those of a pin header's chip. */
export function isHeaderChip(compatible: readonly string[]): boolean {
  return compatible.some((text) => HEADER_CHIPS.has(text));
}

/** Line name to chip label and offset, from a board definition. */
export type PinMap = Readonly<Record<string, string>>;

export interface FoundLine<Chip extends GpioChip> {
  readonly chip: Chip;
  readonly offset: number;
}

/**
 * The line `ref` stands for: by the pin map, else by the name its chip gives it, or by chip label and offset.
 * Throws UNKNOWN with near matches, ARGUMENT when several chips fit and none of them is the header's.
 */
export function findLine<Chip extends GpioChip>(ref: LineRef, chips: readonly Chip[], pins: PinMap): FoundLine<Chip> {
  if ("chip" in ref) return findOffset(ref.chip, ref.offset, chips);
  const mapped = Object.hasOwn(pins, ref.name) ? pins[ref.name] : undefined;
  if (mapped !== undefined) {
    const target = lineRef(mapped);
    if ("chip" in target) return findOffset(target.chip, target.offset, chips);
  }
  const found = chips.flatMap((chip) => chip.lineNames.flatMap((name, offset) => (name === ref.name ? [{ chip, offset }] : [])));
  return onlyOne(found, `line ${ref.name}`) ?? unknownName(ref.name, chips, pins);
}

/**
 * What claims and errors call a line, the same however it was named: its own name where no other line has it,
 * else chip label and offset, with the chip's path where labels repeat.
 */
export function lineKey({ chip, offset }: FoundLine<GpioChip>, chips: readonly GpioChip[]): string {
  const name = chip.lineNames[offset] ?? "";
  if (name !== "" && chips.flatMap((one) => one.lineNames).filter((other) => other === name).length === 1) return `line ${name}`;
  const text = `line ${lineText({ chip: chip.label, offset })}`;
  return chips.some((other) => other !== chip && other.label === chip.label) ? `${text} of ${chip.path}` : text;
}

function findOffset<Chip extends GpioChip>(label: string, offset: number, chips: readonly Chip[]): FoundLine<Chip> {
  const line = `line ${lineText({ chip: label, offset })}`;
  const labelled = chips.filter((chip) => chip.label === label).map((chip) => ({ chip, offset }));
  const found = onlyOne(labelled, line);
  if (found === undefined) {
    const labels = chips.map((chip) => chip.label);
    const known = labels.length === 0 ? "there are no GPIO chips" : `chips here: ${labels.join(", ")}`;
    throw new AgentError("UNKNOWN", `${line} does not exist: no chip is labelled ${label}${didYouMean(label, labels)}; ${known}`);
  }
  if (offset >= found.chip.lines) {
    throw new AgentError("UNKNOWN", `${line} does not exist: the lines of ${label} are 0 to ${found.chip.lines - 1}`);
  }
  return found;
}

function onlyOne<Chip extends GpioChip>(found: readonly FoundLine<Chip>[], what: string): FoundLine<Chip> | undefined {
  if (found.length < 2) return found[0];
  const onHeader = found.filter(({ chip }) => chip.header);
  if (onHeader.length === 1) return onHeader[0];
  const places = found.map(({ chip, offset }) => `${chip.label}:${offset} of ${chip.path}`);
  throw new AgentError("ARGUMENT", `${what} is ambiguous: ${places.join(", ")}; name it by a chip label that is the only one`);
}

function unknownName(name: string, chips: readonly GpioChip[], pins: PinMap): never {
  const names = [...Object.keys(pins), ...chips.flatMap((chip) => chip.lineNames.filter((lineName) => lineName !== ""))];
  const labels = chips.map((chip) => chip.label);
  const hint =
    names.length === 0
      ? `; no line here has a name, use chip label and offset (${labels[0] ?? "label"}:17) or a board file with a pin map`
      : `; or name it by chip label and offset (chips here: ${labels.join(", ")})`;
  throw new AgentError("UNKNOWN", `line ${name} does not exist${didYouMean(name, names)}${hint}`);
}
