/** Where a LAPACK may be on this machine, and whether it works. */
import { readFileSync } from 'node:fs';
import { TributaryError } from '../errors/tributary-error.js';
import { createLapackEngine } from './lapack.js';
import { type LapackChoice, type LapackLibrary, openLapack } from './lapack-library.js';
import { installedOpenblas, OPENBLAS_PREFIX } from './openblas-wheels.js';

export interface FoundLapack {
  readonly choice: LapackChoice;
  /** Library, version, kernels. */
  readonly description: string;
}

export interface NoLapack {
  readonly reason: string;
}

export interface LapackSearch {
  /** Where `setup:lapack` installs. */
  readonly enginesFolder: string;
  /** Libraries of the system to try, in order: paths, or names for the system's loader. */
  readonly systemLibraries?: readonly string[] | undefined;
  /** The user has told OpenBLAS which kernels to take (OPENBLAS_CORETYPE). */
  readonly kernelsGiven?: boolean | undefined;
}

const SYSTEM_LIBRARIES: Readonly<Record<string, readonly string[]>> = {
  linux: ['libopenblas.so.0', 'libopenblas.so', 'libmkl_rt.so.2', 'libmkl_rt.so'],
  darwin: [
    '/opt/homebrew/opt/openblas/lib/libopenblas.dylib',
    '/usr/local/opt/openblas/lib/libopenblas.dylib',
    '/System/Library/Frameworks/Accelerate.framework/Accelerate',
  ],
  win32: ['libopenblas.dll', 'mkl_rt.2.dll'],
};

/** Kernels without AVX2. OpenBLAS takes them on processors newer than itself, and they are several times slower. */
const OLD_KERNELS = /^(Katmai|Coppermine|Northwood|Prescott|Banias|Core2|Penryn|Dunnington|Nehalem|Atom|Athlon|Opteron|Barcelona|Bobcat)/;

/** Libraries stay loaded in the main thread: workers then get them at once, and their end does not unload them. */
const kept: LapackLibrary[] = [];

/** The first that loads, or why none does. Ours was checked by its digest; one of the system has to pass the self-test. */
export function findLapack(search: LapackSearch): FoundLapack | NoLapack {
  const ours = installedOpenblas(search.enginesFolder, process);
  const system = search.systemLibraries ?? SYSTEM_LIBRARIES[process.platform] ?? [];
  const reasons: string[] = [];
  if (ours === undefined) reasons.push('OpenBLAS is not installed');
  else {
    const opened = attempt(() => open({ engine: 'lapack', library: ours, prefix: OPENBLAS_PREFIX }));
    if ('choice' in opened) return opened;
    reasons.push(opened.reason);
  }
  const absent: string[] = [];
  for (const library of system) {
    const choice: LapackChoice = { engine: 'lapack', library, prefix: '' };
    const opened = attempt(() => open(choice));
    const tested = 'choice' in opened ? attempt(() => testOfSystem(opened, search.kernelsGiven === true)) : undefined;
    if (tested === undefined) absent.push(library);
    else if ('choice' in tested) return tested;
    else reasons.push(tested.reason);
  }
  if (absent.length > 0) reasons.push(`no ${absent.join(', ')} of the system loads`);
  return { reason: reasons.join('; ') };
}

function attempt<T>(find: () => T): T | NoLapack {
  try {
    return find();
  } catch (error) {
    if (error instanceof TributaryError) return { reason: `${error.details.what} [${error.details.where}]` };
    throw error;
  }
}

interface OpenLapack extends FoundLapack {
  readonly library: LapackLibrary;
}

function open(choice: LapackChoice): OpenLapack {
  const library = openLapack(choice);
  kept.push(library);
  return { choice, description: library.description, library };
}

function testOfSystem({ choice, library, description }: OpenLapack, kernelsGiven: boolean): FoundLapack {
  const better = kernelsGiven || !OLD_KERNELS.test(library.kernels ?? '') ? undefined : kernelsOfProcessor(processorFlags());
  if (better === undefined) {
    createLapackEngine(choice);
    return { choice, description };
  }
  // Kernels are chosen once, when the library loads.
  kept.splice(kept.indexOf(library), 1);
  library.unload();
  const told = open({ ...choice, coreType: better });
  createLapackEngine(told.choice);
  return told;
}

/** What OPENBLAS_CORETYPE should be for an x86-64 processor with these flags (as in /proc/cpuinfo); nothing without AVX2. */
export function kernelsOfProcessor(flags: ReadonlySet<string>): string | undefined {
  if (['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl'].every((flag) => flags.has(flag))) return 'SkylakeX';
  return flags.has('avx2') && flags.has('fma') ? 'Haswell' : undefined;
}

function processorFlags(): ReadonlySet<string> {
  try {
    const [, flags = ''] = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8')) ?? [];
    return new Set(flags.trim().split(' '));
  } catch {
    return new Set();
  }
}
