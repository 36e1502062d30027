/** The matrices every linear algebra engine is held against. */
import { SVD } from 'ml-matrix';
import { at, diagonal, gaussianMatrix, matrixOf, type Precision, product, type Wide, withSingularValues } from './linalg-matrices.js';

export interface MatrixCase {
  readonly name: string;
  readonly matrix: Wide;
  /** Singular values, descending, where they are known by construction. */
  readonly values?: readonly number[];
}

const repeat = (value: number, times: number): number[] => Array.from({ length: times }, () => value);

function known(name: string, rows: number, columns: number, values: readonly number[], seed: number): MatrixCase {
  const padded = [...values, ...repeat(0, Math.min(rows, columns) - values.length)];
  return { name, matrix: withSingularValues(rows, columns, padded, seed), values: padded };
}

const scaled = (a: Wide, factor: number): Wide => matrixOf(a.rows, a.columns, (row, column) => factor * at(a, row, column));

/** Columns whose sizes go from 1e-exponent to 1e+exponent. */
function badlyScaled(rows: number, columns: number, exponent: number, seed: number): Wide {
  const sizes = Array.from({ length: columns }, (_, column) => 10 ** (exponent * ((2 * column) / (columns - 1) - 1)));
  return product(gaussianMatrix(rows, columns, seed), diagonal(sizes));
}

/** Path graphs glued by a tiny edge: tridiagonal, with pairs of singular values that agree to all digits. */
function gluedPaths(size: number, glue: number): Wide {
  const half = size / 2;
  return matrixOf(size, size, (row, column) => {
    if (row === column) return 1 + Math.abs((row % half) - (half - 1) / 2);
    if (Math.abs(row - column) !== 1) return 0;
    return Math.max(row, column) === half ? glue : 1;
  });
}

export function matrixCases(precision: Precision): readonly MatrixCase[] {
  const wideRange = precision.name === 'f64' ? 12 : 6;
  return [
    { name: 'random 7 x 5', matrix: gaussianMatrix(7, 5, 1) },
    { name: 'random 33 x 33', matrix: gaussianMatrix(33, 33, 2) },
    { name: 'tall 96 x 41', matrix: gaussianMatrix(96, 41, 3) },
    { name: 'wide 41 x 96', matrix: gaussianMatrix(41, 96, 4) },
    { name: '1 x 1', matrix: matrixOf(1, 1, () => -2.5), values: [2.5] },
    { name: '1 x 17', matrix: matrixOf(1, 17, (_, column) => (column === 3 ? -4 : 0)), values: [4] },
    { name: '17 x 1', matrix: matrixOf(17, 1, (row) => (row < 9 ? 1 : 0)), values: [3] },
    { name: '2 x 2', matrix: matrixOf(2, 2, (row, column) => row + 2 * column) },
    { name: 'zero 12 x 9', matrix: matrixOf(12, 9, () => 0), values: repeat(0, 9) },
    {
      name: 'zero but for one row, 8 x 20',
      matrix: matrixOf(8, 20, (row) => (row === 5 ? 0.5 : 0)),
      values: [Math.sqrt(5), ...repeat(0, 7)],
    },
    { name: 'identity 16', matrix: matrixOf(16, 16, (row, column) => (row === column ? 1 : 0)), values: repeat(1, 16) },
    known('all singular values equal, 32 x 32', 32, 32, repeat(0.7, 32), 5),
    known('repeated singular values, 40 x 40', 40, 40, [...repeat(3, 10), ...repeat(2, 10), ...repeat(1, 20)], 7),
    known('repeated singular values, 64 x 29', 64, 29, [...repeat(5, 4), ...repeat(1, 25)], 9),
    known('rank 6 of 48 x 31', 48, 31, [9, 7, 5, 3, 2, 1], 11),
    known('rank 1 of 31 x 48', 31, 48, [2], 13),
    known(
      'halving values, 64 x 48',
      64,
      48,
      [...Array(48).keys()].map((index) => 2 ** -index),
      15,
    ),
    { name: 'glued paths, 62 x 62', matrix: gluedPaths(62, 1e-6) },
    { name: `columns from 1e-${wideRange} to 1e${wideRange}, 36 x 25`, matrix: badlyScaled(36, 25, wideRange, 17) },
    { name: 'tiny, 20 x 30', matrix: scaled(gaussianMatrix(20, 30, 19), 1e-30) },
    { name: 'huge, 30 x 20', matrix: scaled(gaussianMatrix(30, 20, 21), 1e30) },
    known(
      '257 x 211',
      257,
      211,
      [...Array(211).keys()].map((index) => 3 / (1 + index / 30)),
      23,
    ),
    // Their squares are lost in the rounding of the first, their sum is not.
    known('one value and 149 of 1e-9, 150 x 160', 150, 160, [1, ...repeat(1e-9, 149)], 29),
    known('rank 3 of 120 x 230', 120, 230, [3, 2, 1], 25),
  ];
}

/** Singular values by ml-matrix, descending. Quick up to about 100 on the shorter side. */
export function oracleValues(a: Wide): readonly number[] {
  const rows = Array.from({ length: a.rows }, (_, row) => a.data.subarray(row * a.columns, (row + 1) * a.columns));
  const options = { computeLeftSingularVectors: false, computeRightSingularVectors: false, autoTranspose: true };
  return new SVD(rows, options).diagonal.toSorted((one, other) => other - one);
}
