/** `npm run bench -- products`: how fast one thread reads the values of a product of two factors, tile by tile as a merge does. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { table } from '../../client/cli/table.js';
import { DTYPE_BYTES, type MergeDType, type StoredTensor } from '../../shared/formats/tensor.js';
import { compileKernels, instantiateKernels } from '../../shared/kernels/kernels.js';
import { createSourceReader } from '../../shared/workers/source-reader.js';
import { createSourceTableBuilder } from '../../shared/workers/source-table.js';

const TILE_ELEMENTS = 65_536;
const RANKS = [8, 16, 64, 256];
const SHAPES: readonly (readonly [rows: number, columns: number])[] = [
  [4096, 4096],
  [4096, 14_336],
];

function factor(folder: string, name: string, dtype: MergeDType, shape: readonly number[]): StoredTensor {
  const path = join(folder, name);
  const count = shape.reduce((product, size) => product * size, 1);
  // Any bf16 number near one.
  writeFileSync(path, new Uint8Array(Uint16Array.from({ length: count }, (_, index) => 0x3f00 + ((index * 2_654_435_761) % 127)).buffer));
  const sizeBytes = count * DTYPE_BYTES[dtype];
  return { name, dtype, shape, sizeBytes, segments: [{ path, offset: 0, length: sizeBytes }] };
}

/** Elements a second of processor time over a whole tensor, factors read from the page cache, the best of three. */
async function speed(folder: string, [rows, columns]: readonly [number, number], rank: number): Promise<number> {
  const kernels = instantiateKernels(await compileKernels());
  const builder = createSourceTableBuilder();
  const product = {
    left: factor(folder, 'left', 'BF16', [rows, rank]),
    right: factor(folder, 'right', 'BF16', [rank, columns]),
    rank,
    scale: 2,
    transposed: false,
  };
  const source = builder.addTensor({
    name: 'w',
    dtype: 'F32',
    shape: [rows, columns],
    sizeBytes: rows * columns * 4,
    segments: [],
    product,
  });
  const slot = kernels.reserve(TILE_ELEMENTS * 4);
  const reader = createSourceReader(builder.build(), kernels);
  let best = 0;
  for (let round = 0; round < 3; round++) {
    const started = process.cpuUsage();
    for (let at = 0; at < rows * columns; at += TILE_ELEMENTS)
      reader.read(source, at * 4, kernels.bytes(slot, Math.min(TILE_ELEMENTS, rows * columns - at) * 4));
    const { user, system } = process.cpuUsage(started);
    best = Math.max(best, (rows * columns) / ((user + system) / 1e6));
  }
  reader.close();
  return best;
}

export async function benchProducts(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-bench-'));
  try {
    const lines: string[][] = [];
    for (const shape of SHAPES)
      for (const rank of RANKS) {
        const elements = await speed(folder, shape, rank);
        lines.push([shape.join(' x '), `${rank}`, (elements / 1e6).toFixed(0), ((elements * rank) / 1e9).toFixed(1)]);
      }
    console.log(table(['matrix', 'rank', 'million elements/s', 'billion products/s'], lines, [1, 2, 3]));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
