/** What a worker needs for one matrix, so that a merge can decide how many run at once. */

/** `starFactors` stands for truncateMatrix too, `aggregate` for all that works on products. */
export type SpectralOperation = 'addStar' | 'starFactors' | 'aggregate' | 'tsvMerge' | 'isoC' | 'isoCts' | 'knots' | 'wudiMerge';

interface Size {
  readonly rows: number;
  readonly columns: number;
  readonly inputs: number;
  /** Elements of one input; of the square of its shorter side. */
  readonly all: number;
  readonly square: number;
}

/** Bytes: fp32 inputs and result, fp64 copies, the Gram matrix, its vectors and as much again twice for the engine. */
const PEAK_BYTES: Readonly<Record<SpectralOperation, (size: Size) => number>> = {
  addStar: ({ all, square }) => 12 * all + 36 * square,
  starFactors: ({ all, square }) => 12 * all + 40 * square,
  isoC: ({ all, square }) => 32 * all + 48 * square,
  tsvMerge: ({ all, square, inputs }) => (4 * inputs + 40) * all + 112 * square,
  isoCts: ({ all, square, inputs }) => (4 * inputs + 56) * all + 100 * square,
  aggregate: ({ rows, columns, inputs }) =>
    40 * inputs * (rows + columns) + 48 * Math.min(rows, inputs) * Math.min(columns, inputs) + 8 * Math.min(rows, columns) * inputs,
  knots: ({ rows, columns, inputs, all }) => {
    const basis = Math.min(rows, columns * inputs);
    const coordinates = 4 * basis * columns * (inputs + 2);
    return 4 * inputs * all + Math.max(40 * rows * basis + coordinates, 20 * inputs * all + 40 * basis * basis);
  },
  wudiMerge: ({ rows, columns, inputs, all }) => {
    const inRowSpace = rows * inputs < columns;
    const side = inRowSpace ? rows * inputs : columns;
    return 4 * inputs * all + 36 * all + (inRowSpace ? 24 * inputs * all : 0) + 56 * side * side;
  },
};

/**
 * An estimate from above of the memory that one call holds at its peak, inputs and result included, in bytes.
 * @param inputs how many matrices; of `aggregate` the sum of the ranks
 */
export function peakBytes(operation: SpectralOperation, rows: number, columns: number, inputs: number): number {
  const short = Math.min(rows, columns);
  return PEAK_BYTES[operation]({ rows, columns, inputs, all: rows * columns, square: short * short });
}
