/** Counts of (true class, predicted class), and F1 of them with its standard error. */

export interface Measured {
  readonly value: number;
  readonly count: number;
  readonly standardError?: number | undefined;
}

/** Mean over the classes that occur; over all decisions; or of class 1. */
export type F1Average = 'macro' | 'micro' | 'binary';

interface Pair {
  readonly truth: number;
  readonly predicted: number;
  count: number;
}

export class Confusion {
  readonly #pairs = new Map<string, Pair>();
  #count = 0;

  add(truth: number, predicted: number): void {
    const key = `${truth} ${predicted}`;
    const pair = this.#pairs.get(key) ?? { truth, predicted, count: 0 };
    pair.count += 1;
    this.#pairs.set(key, pair);
    this.#count += 1;
  }

  /**
   * F1 of a class is 2 TP / (2 TP + FP + FN), 0 where that is 0 / 0. It is a ratio of two means over examples, so its standard error follows from
   * the influence of each example (infinitesimal jackknife), which depends on the example's pair only.
   */
  f1(average: F1Average): Measured {
    const pairs = [...this.#pairs.values()];
    const count = this.#count;
    const classes = average === 'binary' ? [1] : [...new Set(pairs.flatMap(({ truth, predicted }) => [truth, predicted]))];
    const groups = average === 'micro' ? [classes] : classes.map((one) => [one]);
    let value = 0;
    const influences = new Float64Array(pairs.length);
    for (const group of groups) {
      const members = new Set(group);
      const hits = pairs.map(({ truth, predicted }): number => (truth === predicted && members.has(truth) ? 2 : 0));
      const sizes = pairs.map(({ truth, predicted }) => Number(members.has(truth)) + Number(members.has(predicted)));
      const size = sizes.reduce((sum, one, index) => sum + one * (pairs[index] as Pair).count, 0);
      const score = size === 0 ? 0 : hits.reduce((sum, one, index) => sum + one * (pairs[index] as Pair).count, 0) / size;
      value += score / groups.length;
      if (size === 0) continue;
      for (const [index, hit] of hits.entries()) {
        const influence = (hit - score * (sizes[index] as number)) / (size / count);
        influences[index] = (influences[index] as number) + influence / groups.length;
      }
    }
    const squares = pairs.reduce((sum, pair, index) => sum + pair.count * (influences[index] as number) ** 2, 0);
    return { value, count, standardError: count < 2 ? undefined : Math.sqrt(squares / (count - 1) / count) };
  }
}
