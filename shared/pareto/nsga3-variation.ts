/**
 * How NSGA-III makes children in the unit box: simulated binary crossover (Deb & Agrawal 1995) and polynomial mutation (Deb & Goyal 1996),
 * both bounded.
 */

export interface Variation {
  /** Distribution index of the crossover: the larger, the more children resemble their parents. */
  readonly crossoverIndex: number;
  readonly mutationIndex: number;
  /** Probability for each coordinate; undefined: 1 / dimensions. */
  readonly mutationRate?: number | undefined;
}

/** Two coordinates nearer than this are not crossed. */
const SAME = 1e-14;

/** How far children spread around their parents, for one uniform number; beta says how much room there is to the nearer bound. */
function spreadOf(uniform: number, room: number, index: number): number {
  const alpha = 2 - room ** -(index + 1);
  return uniform <= 1 / alpha ? (uniform * alpha) ** (1 / (index + 1)) : (1 / (2 - uniform * alpha)) ** (1 / (index + 1));
}

/**
 * Children of the parents at rows a and b of x, into rows `to` and `to` + 1 of `children`. Each coordinate is crossed with probability 1/2.
 */
export function crossover(
  x: Float64Array,
  a: number,
  b: number,
  children: Float64Array,
  to: number,
  dimensions: number,
  index: number,
  random: () => number,
): void {
  for (let i = 0; i < dimensions; i++) {
    const one = x[a * dimensions + i] as number;
    const other = x[b * dimensions + i] as number;
    let first = one;
    let second = other;
    const low = Math.min(one, other);
    const high = Math.max(one, other);
    if (random() < 0.5 && high - low > SAME) {
      const uniform = random();
      const width = high - low;
      const lower = spreadOf(uniform, 1 + (2 * low) / width, index);
      const upper = spreadOf(uniform, 1 + (2 * (1 - high)) / width, index);
      first = Math.min(1, Math.max(0, 0.5 * (low + high - lower * width)));
      second = Math.min(1, Math.max(0, 0.5 * (low + high + upper * width)));
      if (random() < 0.5) [first, second] = [second, first];
    }
    children[to * dimensions + i] = first;
    children[(to + 1) * dimensions + i] = second;
  }
}

/** Changes coordinates of one row in place. */
export function mutate(
  x: Float64Array,
  row: number,
  dimensions: number,
  { mutationIndex, mutationRate = 1 / dimensions }: Variation,
  random: () => number,
): void {
  for (let i = 0; i < dimensions; i++) {
    if (random() >= mutationRate) continue;
    const at = row * dimensions + i;
    const value = x[at] as number;
    const uniform = random();
    const power = 1 / (mutationIndex + 1);
    const step =
      uniform < 0.5
        ? (2 * uniform + (1 - 2 * uniform) * (1 - value) ** (mutationIndex + 1)) ** power - 1
        : 1 - (2 * (1 - uniform) + (2 * uniform - 1) * value ** (mutationIndex + 1)) ** power;
    x[at] = Math.min(1, Math.max(0, value + step));
  }
}
