/** A short measurement for `tributary doctor`: how fast one core measures bf16 task vectors that lie in the cache. */
import { compileKernels, DTYPE_CODE, instantiateKernels } from './kernels.js';

const ELEMENTS = 65_536;
const ROUNDS = 400;

export async function measureKernels(): Promise<{ gigabytesPerSecond: number }> {
  const kernels = instantiateKernels(await compileKernels());
  const [x, y] = [kernels.reserve(ELEMENTS * 2), kernels.reserve(ELEMENTS * 2)];
  const run = (): void => void kernels.run.squaredDifference(x, DTYPE_CODE.BF16, y, DTYPE_CODE.BF16, ELEMENTS);
  run();
  const startedMs = performance.now();
  for (let round = 0; round < ROUNDS; round++) run();
  const seconds = (performance.now() - startedMs) / 1000;
  return { gigabytesPerSecond: (ROUNDS * ELEMENTS * 4) / seconds / 1e9 };
}
