/**
 * Which linear algebra engine this machine gets. Runs on the main thread, costs little (a library is loaded, nothing is measured), and says what it
 * chose and why: a fallback is never silent. Workers load the choice with `loadEngine`.
 */
import { existsSync } from 'node:fs';
import { TributaryError } from '../errors/tributary-error.js';
import { enginesFolder } from './engines-folder.js';
import type { FoundLapack, LapackSearch, NoLapack } from './find-lapack.js';
import type { EngineName, EngineSetting, FoundEngine } from './linear-algebra.js';
import { type FoundTensorflow, type NoTensorflow, probeTensorflow } from './tensorflow-probe.js';

/** What is asked of the machine; tests put their own in its place. */
export interface EngineProbes {
  /** Whether a GPU may be there: TensorFlow, which takes seconds to answer, is only asked for one then. */
  gpuMayBeThere(): boolean;
  tensorflow(folder: string, device?: string): Promise<FoundTensorflow | NoTensorflow>;
  lapack(search: LapackSearch): Promise<FoundLapack | NoLapack>;
}

/** Device nodes and libraries that drivers of NVIDIA put up: Linux, WSL, Windows. */
const GPU_SIGNS = ['/dev/nvidiactl', '/dev/dxg', 'C:\\Windows\\System32\\nvcuda.dll'];

const MACHINE: EngineProbes = {
  gpuMayBeThere: () => GPU_SIGNS.some((path) => existsSync(path)),
  tensorflow: probeTensorflow,
  // Loaded when asked: whoever only needs the names of engines does not pay for it.
  lapack: async (search) => (await import('./find-lapack.js')).findLapack(search),
};

export const INSTALL_LAPACK = '`tributary doctor --fix` installs OpenBLAS (8 MB)';
const INSTALL_TENSORFLOW = '`npm run setup:tensorflow` builds it (`-- --gpu` for CUDA)';

/**
 * @param environment the process's variables: TRIBUTARY_ENGINES, XDG_CACHE_HOME and OPENBLAS_CORETYPE count
 * @throws ENGINE_UNAVAILABLE when an engine that was asked for by name is not there
 */
export async function findEngine(
  wanted: EngineSetting,
  environment: Readonly<Record<string, string | undefined>>,
  probes: EngineProbes = MACHINE,
): Promise<FoundEngine> {
  const folder = enginesFolder(environment);
  const lapack = () => probes.lapack({ enginesFolder: folder, kernelsGiven: Boolean(environment['OPENBLAS_CORETYPE']) });
  switch (wanted) {
    case 'portable':
      return portable('it was asked for', []);
    case 'lapack':
      return asked(wanted, fromLapack(await lapack(), 'it was asked for'), INSTALL_LAPACK);
    case 'tensorflow':
      return asked(wanted, fromTensorflow(await probes.tensorflow(folder), 'it was asked for'), INSTALL_TENSORFLOW);
    case 'auto':
      return best(folder, lapack, probes);
  }
}

async function best(folder: string, lapack: () => Promise<FoundLapack | NoLapack>, probes: EngineProbes): Promise<FoundEngine> {
  const notes: string[] = [];
  if (probes.gpuMayBeThere()) {
    const found = fromTensorflow(await probes.tensorflow(folder, 'gpu:0'), 'TensorFlow computes on a GPU');
    if (!('missing' in found)) return found;
    notes.push(`The GPU is not used: TensorFlow: ${found.missing}; ${INSTALL_TENSORFLOW}`);
  }
  const fromLibrary = fromLapack(await lapack(), 'the fastest on a processor', notes);
  if (!('missing' in fromLibrary)) return fromLibrary;
  const fromPackage = fromTensorflow(await probes.tensorflow(folder, 'cpu'), 'no LAPACK loads', notes);
  if (!('missing' in fromPackage)) return fromPackage;
  return portable('neither LAPACK nor TensorFlow loads', [
    ...notes,
    `Matrix factorisations run on the portable engine, which takes many times as long as OpenBLAS; ${INSTALL_LAPACK} (${fromLibrary.missing})`,
  ]);
}

interface Missing {
  readonly missing: string;
}

function fromLapack(found: FoundLapack | NoLapack, reason: string, notes: readonly string[] = []): FoundEngine | Missing {
  if (!('choice' in found)) return { missing: found.reason };
  return { choice: found.choice, device: 'cpu', library: found.description, reason, notes };
}

function fromTensorflow(found: FoundTensorflow | NoTensorflow, reason: string, notes: readonly string[] = []): FoundEngine | Missing {
  if ('reason' in found) return { missing: found.reason };
  const { packageName, device, version } = found;
  return { choice: { engine: 'tensorflow', packageName, device }, device, library: `libtensorflow ${version}`, reason, notes };
}

function portable(reason: string, notes: readonly string[]): FoundEngine {
  return { choice: { engine: 'portable' }, device: 'cpu', library: 'WebAssembly SIMD, built in', reason, notes };
}

function asked(wanted: EngineName, found: FoundEngine | Missing, fix: string): FoundEngine {
  if (!('missing' in found)) return found;
  throw new TributaryError('ENGINE_UNAVAILABLE', {
    what: `The ${wanted} engine does not load on this machine`,
    where: 'engine',
    got: found.missing,
    fix: `${fix}; or take \`engine: auto\`.`,
  });
}
