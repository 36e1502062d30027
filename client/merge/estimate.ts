/** How long a merge will take, from how fast this machine reads a sample of the inputs. Rough on purpose: it tells minutes from hours. */
import { open } from 'node:fs/promises';
import { matrixOf } from '../../shared/adapters/factor-slots.js';
import { elementCount } from '../../shared/formats/safetensors-header.js';
import type { Segment } from '../../shared/formats/tensor.js';
import type { EngineName } from '../../shared/linalg/linear-algebra.js';
import { storedParts } from '../../shared/merge/derive.js';
import type { MergePlan } from '../../shared/merge/types.js';
import type { OfflineAdapter } from './adapter-job.js';

const SAMPLE_BYTES = 64 * 1024 * 1024;
const READ_BYTES = 1024 * 1024;
/** Starting Node, loading modules and booting threads. */
const START_SECONDS = 0.4;

async function readSome(segment: Segment, buffer: Uint8Array, limit: number): Promise<number> {
  const file = await open(segment.path, 'r');
  try {
    let done = 0;
    while (done < Math.min(segment.length, limit)) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, segment.length - done), segment.offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  } finally {
    await file.close();
  }
}

/** Floating point operations a second and a thread that factorisations reach, all phases together. */
const SPEED: Readonly<Record<EngineName, number>> = { lapack: 2e10, tensorflow: 2e10, portable: 2e9 };

/** Seconds for the work on whole matrices: a Gram matrix of the short side, its eigenvectors, and products, for each input. */
export function estimateMatrixSeconds({ tensors }: MergePlan, engine: EngineName, threads: number): number {
  let operations = 0;
  for (const { derivation } of tensors) {
    if (derivation === undefined) continue;
    const { rows, columns, inputs } = derivation;
    const short = Math.min(rows, columns);
    operations += inputs.length * (6 * rows * columns * short + 6 * short ** 3);
  }
  return operations / (SPEED[engine] * threads);
}

/** Seconds for an adapter's factors: of sums of products by small cores, of all else by the Gram matrix of the short side. */
export function estimateFactorSeconds({ vector, dense }: OfflineAdapter, engine: EngineName, threads: number): number {
  let operations = 0;
  for (const { terms } of vector.products.values()) {
    const ranks = terms.reduce((sum, { tensor }) => sum + (tensor.product?.rank ?? 0), 0);
    const { rows, columns } = matrixOf(terms[0]?.tensor.shape ?? []);
    operations += 12 * (rows + columns) * ranks ** 2 + 20 * ranks ** 3;
  }
  for (const { shape } of dense.tensors) {
    const { rows, columns } = matrixOf(shape);
    const short = Math.min(rows, columns);
    operations += 6 * rows * columns * short + 6 * short ** 3;
  }
  return operations / (SPEED[engine] * threads);
}

/** Products of a factor's numbers a second and a thread; see `npm run bench -- products`. */
const PRODUCT_SPEED = 5e9;

/** Seconds for the values of adapters, which are computed in each pass. */
export function estimateProductSeconds({ tensors, totals }: MergePlan, threads: number): number {
  let products = 0;
  for (const { uses, shape } of tensors) {
    const count = elementCount(shape) ?? 0;
    for (const { tensor } of uses) products += count * ((tensor.product ?? tensor.sum?.difference.product)?.rank ?? 0);
  }
  return (products * totals.passes) / (PRODUCT_SPEED * threads);
}

/** Seconds for all passes over the inputs and for writing, at the speed at which a sample of the inputs was read. */
export async function estimateSeconds({ tensors, totals }: MergePlan): Promise<number> {
  const segments = tensors
    .flatMap((tensor) => (tensor.derivation?.inputs ?? tensor.uses).flatMap((use) => storedParts(use.tensor)))
    .flatMap((tensor) => tensor.segments)
    .sort((a, b) => b.length - a.length);
  const buffer = new Uint8Array(READ_BYTES);
  const startMs = performance.now();
  let readBytes = 0;
  for (const segment of segments.slice(0, 64)) {
    if (readBytes >= SAMPLE_BYTES) break;
    readBytes += await readSome(segment, buffer, SAMPLE_BYTES - readBytes);
  }
  const seconds = (performance.now() - startMs) / 1000;
  if (readBytes === 0) return START_SECONDS;
  return START_SECONDS + ((totals.readBytes * totals.passes + totals.writeBytes) * seconds) / readBytes;
}
