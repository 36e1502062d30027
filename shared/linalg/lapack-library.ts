/**
 * BLAS and LAPACK in a shared library, called through their Fortran interface: it is the one that OpenBLAS, MKL, Accelerate and the reference
 * implementation have in common. Calls are synchronous. The library computes with one thread per calling thread, whoever loads it: workers run
 * side by side, and results then do not depend on how many there are.
 */
import { isMainThread } from 'node:worker_threads';
import koffi, { type LibraryHandle } from 'koffi';
import { TributaryError } from '../errors/tributary-error.js';
import type { EngineChoice, Reals } from './linear-algebra.js';

export type LapackChoice = Extract<EngineChoice, { engine: 'lapack' }>;

/** A character, an integer by value, numbers in place, or an array the routine does not look at. */
export type Argument = string | number | Reals | Int32Array | null;

export interface LapackLibrary {
  /** Library, version and the processor kernels in use. */
  readonly description: string;
  /** Name of the kernels, where the library tells. */
  readonly kernels: string | undefined;
  /** Calls `routine_`; numbers become INTEGER arguments, so REAL scalars are given as arrays of length one. */
  call(routine: string, ...args: readonly Argument[]): void;
  /** Nothing of it may be called afterwards. */
  unload(): void;
}

/** Arrays of one element, for scalars of type DOUBLE PRECISION and for what a routine reports. */
export const double = (value: number): Float64Array => Float64Array.of(value);

const THREAD_VARIABLES = ['OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS', 'VECLIB_MAXIMUM_THREADS'];

const characters = new Map<string, Uint8Array>();

/** @throws ENGINE_UNAVAILABLE when the file is no library, or lacks what is needed */
export function openLapack(choice: LapackChoice): LapackLibrary {
  // Threads that a library starts while it loads would idle for ever. Workers find it loaded.
  if (isMainThread) for (const name of THREAD_VARIABLES) setEnvironment(name, '1');
  if (choice.coreType !== undefined) setEnvironment('OPENBLAS_CORETYPE', choice.coreType);
  const handle = loadLibrary(choice.library);
  useOneThread(handle, choice.prefix);
  const kernels = optional(handle, `${choice.prefix}openblas_get_corename`, 'str', [])?.() as string | undefined;
  const bound = new Map<string, (...args: unknown[]) => void>();
  return {
    description: describe(handle, choice, kernels),
    kernels,
    call(routine, ...args) {
      let entry = bound.get(routine);
      if (entry === undefined) {
        entry = bind(handle, `${choice.prefix}${routine}_`, args);
        bound.set(routine, entry);
      }
      const passed = args.map(passArgument);
      for (const argument of args) if (typeof argument === 'string') passed.push(1);
      entry(...passed);
    },
    unload: () => handle.unload(),
  };
}

function loadLibrary(path: string): LibraryHandle {
  try {
    return koffi.load(path);
  } catch (error) {
    throw new TributaryError(
      'ENGINE_UNAVAILABLE',
      { what: `The library does not load: ${(error as Error).message}`, where: path, fix: '`tributary doctor --fix` installs OpenBLAS.' },
      { cause: error },
    );
  }
}

/** Every argument is a pointer; the lengths of characters follow by value, as Fortran compilers pass them. */
function bind(handle: LibraryHandle, symbol: string, args: readonly Argument[]): (...args: unknown[]) => void {
  const lengths = args.filter((argument) => typeof argument === 'string').map(() => 'size_t');
  try {
    return handle.func(symbol, 'void', [...args.map(() => 'void *'), ...lengths]);
  } catch (error) {
    throw new TributaryError('ENGINE_UNAVAILABLE', { what: `The library has no ${symbol}` }, { cause: error });
  }
}

function passArgument(argument: Argument): unknown {
  if (typeof argument === 'number') return Int32Array.of(argument);
  if (typeof argument !== 'string') return argument;
  let character = characters.get(argument);
  if (character === undefined) {
    character = Uint8Array.of(argument.charCodeAt(0), 0);
    characters.set(argument, character);
  }
  return character;
}

/** The function, or nothing where the library has none of this name. */
function optional(handle: LibraryHandle, name: string, result: string, args: string[]): ((...args: unknown[]) => unknown) | undefined {
  try {
    return handle.func(name, result, args);
  } catch {
    return undefined;
  }
}

function useOneThread(handle: LibraryHandle, prefix: string): void {
  optional(handle, `${prefix}openblas_set_num_threads`, 'void', ['int'])?.(1);
  optional(handle, 'MKL_Set_Num_Threads', 'void', ['int'])?.(1);
  // Accelerate, macOS 15: BLAS_THREADING_SINGLE_THREADED.
  optional(handle, 'BLASSetThreading', 'int', ['uint'])?.(1);
}

function describe(handle: LibraryHandle, { library, prefix }: LapackChoice, kernels = 'unknown'): string {
  const config = optional(handle, `${prefix}openblas_get_config`, 'str', [])?.() as string | undefined;
  if (config !== undefined) return `${config.split(' ').slice(0, 2).join(' ')} (${kernels} kernels)`;
  return library.split(/[/\\]/).at(-1) as string;
}

/**
 * Sets a variable where libraries read it: `process.env` of a worker thread is a copy that they do not see.
 */
function setEnvironment(name: string, value: string): void {
  if (process.platform === 'win32') koffi.load('ucrtbase.dll').func('_putenv_s', 'int', ['str', 'str'])(name, value);
  else koffi.load(null).func('setenv', 'int', ['str', 'str', 'int'])(name, value, 1);
}
