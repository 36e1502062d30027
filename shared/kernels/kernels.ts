/**
 * Loads the WASM kernels and gives them a memory of their own. One instance belongs to one thread; nothing is shared but the compiled
 * module. What the functions compute is described where they are written (assembly/index.ts); bytes enter and leave through `bytes()`,
 * straight from and to files, without a copy in JavaScript.
 */
import { readFile } from 'node:fs/promises';
import { TributaryError } from '../errors/tributary-error.js';
import type { MergeDType } from '../formats/tensor.js';
import type { BlockFunctions } from './block-functions.js';
import { type WasmModule, webAssembly } from './web-assembly.js';

/** How dtypes are called in the kernels. */
export const DTYPE_CODE = { F32: 0, F16: 1, BF16: 2 } as const satisfies Record<MergeDType, number>;

/** What an input contributes: itself, itself minus the base (a task vector), or itself plus the base (a delta in an absolute sum). */
export const VALUE_MODE = { plain: 0, minusBase: 1, plusBase: 2 } as const;
export type ValueMode = keyof typeof VALUE_MODE;

/** Bytes that every buffer has behind its last element: kernels work on whole vectors of eight elements. */
export const PADDING_BYTES = 64;
export const RECORD_BYTES = 24;

const PAGE_BYTES = 65_536;
/** 1 GiB: far above what tiles need, far below what a runaway request could take. */
const MAX_PAGES = 16_384;

/** The raw exports; pointers are byte offsets into the memory, counts are elements, dtypes are DTYPE_CODE. */
export interface KernelFunctions extends BlockFunctions {
  arenaStart(): number;
  mergeTile(
    records: number,
    n: number,
    base: number,
    baseDtype: number,
    kept: number,
    count: number,
    first: number,
    last: number,
    divisor: number,
    lambda: number,
    plusBase: number,
    out: number,
    outDtype: number,
  ): number;
  widen(from: number, dtype: number, to: number, count: number): void;
  narrow(from: number, to: number, dtype: number, count: number): void;
  dot(x: number, xDtype: number, y: number, yDtype: number, count: number): number;
  squaredDifference(x: number, xDtype: number, y: number, yDtype: number, count: number): number;
  firstNonFinite(x: number, dtype: number, count: number): number;
  /** assembly/product.ts */
  productRows(left: number, right: number, rank: number, rows: number, from: number, to: number, out: number, scale: number): void;
  packPanels(from: number, first: number, count: number, rank: number, columns: number, turned: number, to: number): void;
  spread64(from: number, to: number, step: number, count: number): void;
}

export interface Kernels {
  readonly run: KernelFunctions;
  /** Takes `sizeBytes` plus padding from the arena; freed only all together, by `reset`. The pointer is a multiple of 64. */
  reserve(sizeBytes: number): number;
  /** Frees everything that was reserved. */
  reset(): void;
  /** The bytes at a pointer. Do not keep it over a `reserve`: growing the memory detaches it. */
  readonly bytes: (pointer: number, sizeBytes: number) => Uint8Array;
  view(): DataView;
}

/** Compiles once a process; the module may be posted to worker threads. */
export async function compileKernels(): Promise<WasmModule> {
  return webAssembly.compile(await readFile(new URL('./kernels.wasm', import.meta.url)));
}

export function instantiateKernels(module: WasmModule): Kernels {
  const memory = new webAssembly.Memory({ initial: 2, maximum: MAX_PAGES });
  const instance = new webAssembly.Instance(module, { env: { memory } });
  const run = instance.exports as unknown as KernelFunctions;
  const start = run.arenaStart();
  let top = start;
  let all = new Uint8Array(memory.buffer);
  return {
    run,
    reserve(sizeBytes) {
      const pointer = top;
      const next = Math.ceil((pointer + sizeBytes + PADDING_BYTES) / 64) * 64;
      const missingPages = Math.ceil((next - memory.buffer.byteLength) / PAGE_BYTES);
      if (missingPages > 0) {
        if (next > MAX_PAGES * PAGE_BYTES) {
          throw new TributaryError('INTERNAL', {
            what: 'a kernel buffer beyond the memory limit was asked for',
            expected: `${MAX_PAGES * PAGE_BYTES} bytes in all`,
            got: `${next}`,
          });
        }
        memory.grow(missingPages);
        all = new Uint8Array(memory.buffer);
      }
      top = next;
      return pointer;
    },
    reset() {
      top = start;
    },
    bytes: (pointer, sizeBytes) => all.subarray(pointer, pointer + sizeBytes),
    view: () => new DataView(memory.buffer),
  };
}
