// SLAMTEC LR001, "RPLIDAR A-series interface protocol and application notes": "Start scan (SCAN) request and response", the five bytes of a node.
const NODE_BYTES = 5;
const START = 1;

/** Of the angle: 1/64 degree. Some scanners send a little more than a whole turn. */
const ANGLE_PER_DEG = 64;
const TURN = 360 * ANGLE_PER_DEG;
const MAX_ANGLE = 361 * ANGLE_PER_DEG;

/**
 * The angle of one node to the next's: 1.8° at 2000 nodes a second and ten turns. More than this are lost nodes, or bytes read at the wrong place, which two
 * check bits a node alone would let pass one time in four.
 */
const MAX_STEP = 10 * ANGLE_PER_DEG;

/** Nodes in step with each other before a turn may begin, and after one that has ended. */
const SYNC_NODES = 3;

/** A node has arrived, without an echo: more than any distance, so that every echo is nearer. */
const NO_ECHO = 0x1_0000;

/** One distance per degree. */
export const TABLE_SIZE = 360;

/** How the table lies to the scanner, whose angles rise clockwise from above. */
export interface ScanLayout {
  /** The scanner's angle that looks where the table begins, degrees. */
  readonly forwardDeg: number;
  /** The table rises with the scanner's angle: it hangs upside down, or stands on its side. */
  readonly turned: boolean;
  /** What a direction without an echo is given as, metres; 0: not known. */
  readonly noEchoM: number;
}

/** Told of every whole turn, in metres by the table's degrees: the nearest echo of the degree, 0 where no node was. The list is the listener's. */
export type ScanListener = (distancesM: readonly number[]) => void;

/** Makes tables from nodes that arrive in pieces of any size. A turn in which anything was wrong makes none. */
export interface ScanDecoder {
  push(bytes: Uint8Array): void;
  /** Forgets what was under way. */
  restart(): void;
  readonly nodes: number;
  readonly tables: number;
  /** How often it had to look for the nodes anew: check bits wrong, or an angle that cannot follow the one before. */
  readonly resyncs: number;
}

export function createScanDecoder(layout: ScanLayout, onTable: ScanListener): ScanDecoder {
  const places = placesOf(layout);
  const { noEchoM } = layout;
  /** The nearest echo by place, quarters of a millimetre. */
  const nearest = new Uint32Array(TABLE_SIZE);
  /** Fractions from the start, so that the engine keeps plain doubles in it and copies it as such. */
  const metres: number[] = Array.from({ length: TABLE_SIZE }, () => 0.5);
  /** A node cut by the end of a piece. */
  const cut = new Uint8Array(2 * NODE_BYTES);
  let cutBytes = 0;
  let lastAngle = -1;
  let inStep = 0;
  let turning = false;
  let untilShown = 0;
  let nodes = 0;
  let tables = 0;
  let resyncs = 0;

  /** The table is whole, but shown only when the nodes after it are in step too: otherwise the start may have been none. */
  function endTurn(): void {
    if (turning) {
      for (let i = 0; i < TABLE_SIZE; i++) {
        const quarters = nearest[i] as number;
        metres[i] = quarters === NO_ECHO ? noEchoM : Math.round(quarters / 4) / 1000;
      }
      untilShown = SYNC_NODES;
    }
    turning = inStep >= SYNC_NODES;
    nearest.fill(0);
  }

  function show(): void {
    untilShown -= 1;
    if (untilShown > 0) return;
    tables += 1;
    onTable(metres.slice());
  }

  function isNext(angle: number): boolean {
    if (angle >= MAX_ANGLE) return false;
    if (lastAngle < 0) return true;
    const step = Math.abs(angle - lastAngle);
    return step <= MAX_STEP || step >= TURN - MAX_STEP;
  }

  /** False when those bytes are no node. */
  function take(bytes: Uint8Array, at: number): boolean {
    const first = bytes[at] as number;
    const second = bytes[at + 1] as number;
    if ((((first >> 1) ^ first) & 1) === 0 || (second & 1) === 0) return false;
    const angle = (second >> 1) | ((bytes[at + 2] as number) << 7);
    if (!isNext(angle)) return false;
    lastAngle = angle;
    inStep += 1;
    nodes += 1;
    if (untilShown > 0) show();
    if ((first & START) !== 0) endTurn();
    if (!turning) return true;
    const place = places[(angle + ANGLE_PER_DEG / 2) >> 6] as number;
    const quarters = (bytes[at + 3] as number) | ((bytes[at + 4] as number) << 8) || NO_ECHO;
    const held = nearest[place] as number;
    if (held === 0 || quarters < held) nearest[place] = quarters;
    return true;
  }

  function forget(): void {
    lastAngle = -1;
    inStep = 0;
    turning = false;
    untilShown = 0;
  }

  function lose(): void {
    if (inStep > 0) resyncs += 1;
    forget();
  }

  /** Takes the nodes in `bytes` up to `end`, and answers where what is no whole node begins. */
  function takeAll(bytes: Uint8Array, from: number, end: number): number {
    let at = from;
    while (at + NODE_BYTES <= end) {
      if (take(bytes, at)) at += NODE_BYTES;
      else {
        lose();
        at += 1;
      }
    }
    return at;
  }

  /** The node that was cut, with what has arrived of it now. Answers how much of `bytes` that took. */
  function takeCut(bytes: Uint8Array): number {
    const held = cutBytes;
    const added = Math.min(bytes.length, NODE_BYTES - 1);
    for (let i = 0; i < added; i++) cut[held + i] = bytes[i] as number;
    const end = held + added;
    // Only nodes that begin in what was held: the rest are read where they are.
    let at = 0;
    while (at < held && at + NODE_BYTES <= end) {
      if (take(cut, at)) at += NODE_BYTES;
      else {
        lose();
        at += 1;
      }
    }
    if (at >= held) {
      cutBytes = 0;
      return at - held;
    }
    cut.copyWithin(0, at, end);
    cutBytes = end - at;
    return added;
  }

  return {
    push(bytes) {
      const at = takeAll(bytes, cutBytes > 0 ? takeCut(bytes) : 0, bytes.length);
      for (let i = at; i < bytes.length; i++) {
        cut[cutBytes] = bytes[i] as number;
        cutBytes += 1;
      }
    },
    restart() {
      cutBytes = 0;
      forget();
    },
    get nodes() {
      return nodes;
    },
    get tables() {
      return tables;
    },
    get resyncs() {
      return resyncs;
    },
  };
}

/** The place in the table of each degree the scanner may send, 361 included. */
function placesOf({ forwardDeg, turned }: ScanLayout): Uint16Array {
  const places = new Uint16Array(TABLE_SIZE + 2);
  for (let deg = 0; deg < places.length; deg++) {
    const turn = turned ? deg - forwardDeg : forwardDeg - deg;
    places[deg] = ((Math.round(turn) % TABLE_SIZE) + TABLE_SIZE) % TABLE_SIZE;
  }
  return places;
}
