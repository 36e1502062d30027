/**
 * Eigenvectors of a symmetric tridiagonal matrix for eigenvalues that are known to working precision. Each comes from one twisted
 * factorisation (Fernando 1997; Dhillon and Parlett 2004): the matrix less the eigenvalue is eliminated from both ends at once, the vector starts
 * where the two meet with the least remainder and costs a few operations an element. Vectors of close eigenvalues come out almost parallel; that
 * is for the caller to see and to cure.
 */

/** Diagonal (n) and the elements beside it (n - 1); elements of zero part it into blocks. */
export interface Tridiagonal {
  readonly diagonal: Float64Array;
  readonly beside: Float64Array;
}

/** Where elements beside the diagonal are no larger than this part of the norm, they are taken for zero: a rounding error's worth. */
const SPLIT = 2 ** -52;
/** What a vector may leave, relative to the norm: past the first another round follows, past the second it is given up. */
const RESIDUAL_AIM = 2 ** -46;
const RESIDUAL_LIMIT = 2 ** -45;
const MOST_CORRECTIONS = 3;
/** How far its own value may be from the eigenvalue, relative to the norm: what LAPACK's eigenvalues are off at worst, with room. */
const DRIFT_LIMIT = 2 ** -42;
/** Elements below this are zero, and so is what follows where the one before was faint; it also keeps away from denormal numbers. */
const VANISHED = 1e-30;
const FADED = 1e-15;

/** An upper bound of the largest eigenvalue's magnitude: the largest row sum; NaN when one is there. */
export function normOf({ diagonal, beside }: Tridiagonal): number {
  let most = 0;
  for (let index = 0; index < diagonal.length; index += 1) {
    most = Math.max(most, Math.abs(diagonal[index] as number) + Math.abs(beside[index - 1] ?? 0) + Math.abs(beside[index] ?? 0));
  }
  return most;
}

/** Sets what is too small beside the diagonal to zero, in place, and returns the borders of the blocks: 0, ..., n. */
export function splitBlocks({ diagonal, beside }: Tridiagonal, norm: number): number[] {
  const borders = [0];
  for (let index = 0; index + 1 < diagonal.length; index += 1) {
    if (Math.abs(beside[index] as number) > SPLIT * norm) continue;
    beside[index] = 0;
    borders.push(index + 1);
  }
  borders.push(diagonal.length);
  return borders;
}

/** Scratch of `twistedVector`, at least as long as the longest block. */
export interface Scratch {
  readonly down: Float64Array;
  readonly up: Float64Array;
  readonly left: Float64Array;
  readonly right: Float64Array;
}

export function scratchOf(length: number): Scratch {
  const make = (): Float64Array => new Float64Array(length);
  return { down: make(), up: make(), left: make(), right: make() };
}

/**
 * Writes the unit eigenvector of `eigenvalue` of one block into `vector`, which has its length. `norm` is that of the whole matrix. False when
 * what it leaves (T v less v times its own value) is more than rounding, or its own value is another.
 */
export function twistedVector(block: Tridiagonal, eigenvalue: number, norm: number, scratch: Scratch, vector: Float64Array): boolean {
  if (vector.length === 1) {
    vector[0] = 1;
    return true;
  }
  let value = eigenvalue;
  for (let corrections = 0; ; corrections += 1) {
    const remainder = eliminate(block, value, norm, scratch);
    const squares = substitute(block.beside, scratch, remainder.at, vector);
    scale(vector, 1 / Math.sqrt(squares));
    // The vector's Rayleigh quotient.
    value += remainder.size / squares;
    if (!(Math.abs(value - eigenvalue) <= DRIFT_LIMIT * norm)) return false;
    const residual = residualOf(block, value, vector);
    if (residual <= RESIDUAL_AIM * norm) return true;
    if (corrections === MOST_CORRECTIONS) return residual <= RESIDUAL_LIMIT * norm;
  }
}

/** Eliminates from both ends; fills the factors and returns where the least remains, and how much. */
function eliminate({ diagonal, beside }: Tridiagonal, value: number, norm: number, { down, up, left, right }: Scratch) {
  const size = diagonal.length;
  // A pivot of zero becomes one that is nothing beside the norm.
  const least = norm * 2 ** -104;
  let above = (diagonal[0] as number) - value;
  let below = (diagonal[size - 1] as number) - value;
  down[0] = above;
  up[size - 1] = below;
  for (let index = 0, from = size - 2; index < size - 1; index += 1, from -= 1) {
    if (Math.abs(above) < least) above = least;
    if (Math.abs(below) < least) below = least;
    const nextDown = beside[index] as number;
    const nextUp = beside[from] as number;
    const factorDown = nextDown / above;
    const factorUp = nextUp / below;
    left[index] = factorDown;
    right[from] = factorUp;
    above = (diagonal[index + 1] as number) - value - factorDown * nextDown;
    below = (diagonal[from] as number) - value - factorUp * nextUp;
    down[index + 1] = above;
    up[from] = below;
  }
  let at = 0;
  let size0 = Number.POSITIVE_INFINITY;
  for (let index = 0; index < size; index += 1) {
    const remains = (down[index] as number) + (up[index] as number) - ((diagonal[index] as number) - value);
    if (Math.abs(remains) < Math.abs(size0)) {
      at = index;
      size0 = remains;
    }
  }
  return { at, size: size0 };
}

/** The vector that is 1 at the meeting point; returns the sum of its squares. */
function substitute(beside: Float64Array, { left, right }: Scratch, at: number, vector: Float64Array): number {
  vector.fill(0);
  vector[at] = 1;
  let squares = 1;
  let element = 1;
  for (let index = at - 1; index >= 0; index -= 1) {
    const last = element;
    element *= -(left[index] as number);
    if (Math.abs(element) < VANISHED) {
      if (index === 0 || Math.abs(last) < FADED) break;
      // A single zero: the row of T that it stands in joins its neighbours.
      element = -((beside[index] as number) / (beside[index - 1] as number)) * last;
      index -= 1;
    }
    vector[index] = element;
    squares += element * element;
  }
  element = 1;
  for (let index = at + 1; index < vector.length; index += 1) {
    const last = element;
    element *= -(right[index - 1] as number);
    if (Math.abs(element) < VANISHED) {
      if (index + 1 === vector.length || Math.abs(last) < FADED) break;
      element = -((beside[index - 1] as number) / (beside[index] as number)) * last;
      index += 1;
    }
    vector[index] = element;
    squares += element * element;
  }
  return squares;
}

function scale(vector: Float64Array, factor: number): void {
  for (let index = 0; index < vector.length; index += 1) vector[index] = (vector[index] as number) * factor;
}

/** Norm of T v - value v. */
function residualOf({ diagonal, beside }: Tridiagonal, value: number, vector: Float64Array): number {
  const last = vector.length - 1;
  let before = 0;
  let here = vector[0] as number;
  let coupling = 0;
  let squares = 0;
  for (let index = 0; index < last; index += 1) {
    const next = vector[index + 1] as number;
    const nextCoupling = beside[index] as number;
    const left = coupling * before + ((diagonal[index] as number) - value) * here + nextCoupling * next;
    squares += left * left;
    before = here;
    here = next;
    coupling = nextCoupling;
  }
  const end = coupling * before + ((diagonal[last] as number) - value) * here;
  return Math.sqrt(squares + end * end);
}
