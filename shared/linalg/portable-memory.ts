/**
 * The WASM memory of the portable engine. An operation lays out everything it needs at once, from the start of the memory, and leaves nothing behind; matrices
 * enter and leave through a stage of limited size. One instance belongs to one thread.
 */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { TributaryError } from '../errors/tributary-error.js';
import { type WasmModule, webAssembly } from '../kernels/web-assembly.js';
import type { Matrix, Reals } from './linear-algebra.js';
import type { LinalgFunctions } from './portable-functions.js';

const PAGE_BYTES = 65_536;
/** The limit of wasm32: 4 GiB. */
const MAX_PAGES = 65_536;
/** Memory beyond this is given back after the operation that needed it. */
const KEPT_BYTES = 268_435_456;
const STAGE_ELEMENTS = 262_144;

export interface LinalgMemory {
  readonly run: LinalgFunctions;
  /** Pointers (multiples of 64) to so many bytes each; what was laid out before is gone. `what` names the operation and its matrix in errors. */
  layOut<Name extends string>(what: string, sizes: Readonly<Record<Name, number>>): Record<Name, number>;
  /** Do not keep views over a `layOut`: growing the memory detaches them. */
  doubles(pointer: number, count: number): Float64Array;
  /** Of the element type of `like`. */
  reals<T extends Reals>(like: T, pointer: number, count: number): T;
  /** Gives memory back after a large operation. */
  trim(): void;
}

const CODE = new URL('./linalg.wasm', import.meta.url);

export async function compileLinalg(): Promise<WasmModule> {
  return webAssembly.compile(await readFile(CODE));
}

/** The same for callers that cannot wait; it takes some milliseconds. */
export function compileLinalgNow(): WasmModule {
  return new webAssembly.Module(readFileSync(CODE));
}

export function createLinalgMemory(module: WasmModule): LinalgMemory {
  const start = () => {
    const memory = new webAssembly.Memory({ initial: 64, maximum: MAX_PAGES });
    const instance = new webAssembly.Instance(module, { env: { memory } });
    return { memory, run: instance.exports as unknown as LinalgFunctions };
  };
  let state = start();
  const ensure = (what: string, needed: number): void => {
    const missing = Math.ceil((needed - state.memory.buffer.byteLength) / PAGE_BYTES);
    if (missing <= 0) return;
    try {
      if (needed > MAX_PAGES * PAGE_BYTES) throw new RangeError('beyond the limit of WebAssembly');
      state.memory.grow(missing);
    } catch (cause) {
      const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
      throw new TributaryError(
        'LINALG_FAILED',
        {
          what: `${what} does not fit into the memory of the portable engine`,
          expected: `at most ${gibibytes(MAX_PAGES * PAGE_BYTES)}, as far as the machine has it`,
          got: gibibytes(needed),
          fix: 'install a linear algebra engine with `tributary doctor --fix`',
        },
        { cause },
      );
    }
  };
  return {
    get run() {
      return state.run;
    },
    layOut(what, sizes) {
      let top = state.run.freeMemory() >>> 0;
      const pointers: Record<string, number> = {};
      for (const name in sizes) {
        pointers[name] = top;
        top = Math.ceil((top + sizes[name]) / 64) * 64;
      }
      ensure(what, top);
      return pointers as typeof sizes;
    },
    doubles: (pointer, count) => new Float64Array(state.memory.buffer, pointer, count),
    reals<T extends Reals>(like: T, pointer: number, count: number): T {
      const { buffer } = state.memory;
      return (like instanceof Float64Array ? new Float64Array(buffer, pointer, count) : new Float32Array(buffer, pointer, count)) as T;
    },
    trim() {
      if (state.memory.buffer.byteLength > KEPT_BYTES) state = start();
    },
  };
}

/** Bytes of a stage for `takeIn` and `giveOut` with rows of so many elements. */
export function stageBytes(columns: number): number {
  return Math.max(STAGE_ELEMENTS, columns) * 8;
}

const rowsAtOnce = (columns: number): number => Math.max(1, Math.floor(STAGE_ELEMENTS / Math.max(1, columns)));

/** Where a matrix of f64 lies, and what it is multiplied with on its way. `across`: transposed. */
export interface Place {
  readonly pointer: number;
  readonly step: number;
  readonly factor?: number;
  readonly across?: boolean;
}

export function takeIn(memory: LinalgMemory, from: Matrix<Reals>, to: Place, stage: number): void {
  const { rows, columns, data } = from;
  const wide = data instanceof Float64Array ? 1 : 0;
  for (let first = 0; first < rows; first += rowsAtOnce(columns)) {
    const count = Math.min(rowsAtOnce(columns), rows - first);
    memory.reals<Reals>(data, stage, count * columns).set(data.subarray(first * columns, (first + count) * columns));
    const pointer = to.pointer + first * (to.across ? 8 : to.step);
    memory.run.takeIn(stage, wide, count, columns, pointer, to.step, to.factor ?? 1, to.across ? 1 : 0);
  }
}

export function giveOut<T extends Reals>(memory: LinalgMemory, from: Place, to: Matrix<T>, stage: number): Matrix<T> {
  const { rows, columns, data } = to;
  const wide = data instanceof Float64Array ? 1 : 0;
  for (let first = 0; first < rows; first += rowsAtOnce(columns)) {
    const count = Math.min(rowsAtOnce(columns), rows - first);
    const pointer = from.pointer + first * (from.across ? 8 : from.step);
    memory.run.giveOut(pointer, from.step, count, columns, stage, wide, from.factor ?? 1, from.across ? 1 : 0);
    data.set(memory.reals<Reals>(data, stage, count * columns), first * columns);
  }
  return to;
}

export function newMatrix<T extends Reals>(like: T, rows: number, columns: number): Matrix<T> {
  const size = rows * columns;
  return { rows, columns, data: (like instanceof Float64Array ? new Float64Array(size) : new Float32Array(size)) as T };
}

/**
 * A power of two that brings the largest magnitude to about 1; 1 for a matrix of zeros. `lower`: only the lower triangle counts.
 * @throws LINALG_FAILED for NaN or infinity
 */
export function scaleOf(what: string, { rows, columns, data }: Matrix<Reals>, lower = false): number {
  let largest = 0;
  for (let row = 0; row < rows; row++) {
    const end = row * columns + (lower ? row + 1 : columns);
    for (let i = row * columns; i < end; i++) {
      const magnitude = Math.abs(data[i] as number);
      if (magnitude <= largest) continue;
      largest = magnitude;
      if (magnitude < Number.POSITIVE_INFINITY) continue;
      throw new TributaryError('LINALG_FAILED', {
        what: `${what} failed: it holds NaN or infinity`,
        where: `row ${row}, column ${i - row * columns}`,
      });
    }
  }
  return largest === 0 ? 1 : 2 ** -Math.max(-1000, Math.min(1000, Math.floor(Math.log2(largest))));
}

/** How an operation and its matrix are called in errors. */
export const describe = (operation: string, { rows, columns }: Matrix<Reals>): string => `${operation} of a ${rows} x ${columns} matrix`;
