/** What `npm run bench -- spectral` tells the processes that it times, ours and the peer's alike. Types only. */
import type { EngineName } from '../../shared/linalg/linear-algebra.js';

/** STAR of every input, a raw file of f32, into the output of the same place. */
export interface SpectralJob {
  readonly rows: number;
  readonly columns: number;
  readonly eta: number;
  readonly threads: number;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

export interface EngineJob extends SpectralJob {
  readonly engine: EngineName;
}

/** The last line that the process prints, as JSON. */
export interface SpectralResult {
  /** From the first matrix to the last, without starting the program or the library. */
  readonly seconds: number;
  /** Of all threads, in the same time. */
  readonly cpuSeconds: number;
  /** Largest resident set of the process. */
  readonly peakBytes: number;
  /** What computed, and its version. */
  readonly library: string;
}
