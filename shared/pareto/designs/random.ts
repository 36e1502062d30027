/**
 * Random numbers by counter: a draw is a hash of the seed, the stream's words and its number in the stream, so that a design asks for the same
 * numbers after every restart, whatever was drawn before. Whole-number arithmetic only, the same on every machine.
 */

export interface RandomStream {
  /** Uniform in [0, 1), 32 bits of it. */
  readonly uniform: () => number;
  /** Standard normal. */
  readonly normal: () => number;
  /** Whole, 0 to below - 1. */
  readonly index: (below: number) => number;
}

/** A bijection of 32 bits in which every input bit moves about half of the output's (constants: C. Wellons, hash prospector, `lowbias32`). */
export function mix(word: number): number {
  let x = word >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** One word from several, in their order. Words are whole; beyond 32 bits their upper part counts too. */
export function hashOf(...words: readonly number[]): number {
  let hash = 0x9e3779b9;
  for (const word of words) hash = mix(mix(hash ^ (word >>> 0)) + Math.floor(word / 4294967296));
  return hash;
}

/** @param words what the stream is for: seed, purpose, round, ... */
export function randomStream(...words: readonly number[]): RandomStream {
  const key = hashOf(...words);
  const other = mix(key ^ 0x5bd1e995);
  let counter = 0;
  const uniform = (): number => {
    counter++;
    return mix(mix(counter ^ key) + other) / 4294967296;
  };
  return {
    uniform,
    // Box and Muller; the second number of a pair is not worth a state.
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    index: (below) => Math.floor(uniform() * below),
  };
}
