/** Numbers that are only ever added to the end, kept in pieces: growing never copies and costs what is used, to 16,384 numbers. */
export interface Column {
  readonly length: number;
  readonly at: (index: number) => number;
  push(value: number): void;
  /** Replaces what was pushed before. */
  set(index: number, value: number): void;
}

const PIECE_BITS = 14;
const PIECE = 1 << PIECE_BITS;
const WITHIN = PIECE - 1;

type Piece = Int32Array | Float64Array;

/** Whole numbers of 32 bits. */
export function createInt32Column(): Column {
  return createColumn(() => new Int32Array(PIECE));
}

export function createFloat64Column(): Column {
  return createColumn(() => new Float64Array(PIECE));
}

function createColumn(createPiece: () => Piece): Column {
  const pieces: Piece[] = [];
  let length = 0;
  return {
    get length() {
      return length;
    },
    at: (index) => (pieces[index >>> PIECE_BITS] as Piece)[index & WITHIN] as number,
    push(value) {
      const within = length & WITHIN;
      if (within === 0) pieces.push(createPiece());
      (pieces[length >>> PIECE_BITS] as Piece)[within] = value;
      length += 1;
    },
    set(index, value) {
      (pieces[index >>> PIECE_BITS] as Piece)[index & WITHIN] = value;
    },
  };
}

/** The first index whose value is at least `least`, in a column that never falls; its length when there is none. */
export function firstAtLeast(column: Column, least: number): number {
  let low = 0;
  let high = column.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (column.at(middle) < least) low = middle + 1;
    else high = middle;
  }
  return low;
}
