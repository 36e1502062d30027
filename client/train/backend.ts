/**
 * Which TensorFlow.js backend does the arithmetic, and why. The model code is the same on all of them: it uses tfjs-core operations only, of the
 * tfjs-core that it is handed. The native packages are optional, and bring their own where `npm run setup:tensorflow` built them; a candidate is taken
 * only when it loads, computes and has every kernel the network runs.
 */
import { createRequire } from 'node:module';
import type * as tfjs from '@tensorflow/tfjs-core';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { enginesFolder } from '../../shared/linalg/engines-folder.js';
import { builtTensorflow, findTensorflowAddon } from '../../shared/linalg/tensorflow-addon.js';

export type Tensorflow = typeof tfjs;

export type BackendName = 'tensorflow-gpu' | 'tensorflow' | 'wasm' | 'cpu';

export const BACKEND_NAMES: readonly BackendName[] = ['tensorflow-gpu', 'tensorflow', 'wasm', 'cpu'];

export interface BackendDescription {
  readonly backend: BackendName;
  /** Of the package that implements the backend. */
  readonly version: string;
  /** Why this one: what the better candidates lacked, and what it is. */
  readonly reason: string;
}

export interface Backend extends BackendDescription {
  readonly tf: Tensorflow;
}

interface Candidate {
  /** Its name, or the folder it lies in. */
  readonly packageName: string;
  /** The name under which the package registers itself in tfjs-core. */
  readonly registeredAs: string;
  /** What it computes on; asked after it started. */
  readonly about: (tf: Tensorflow) => string;
  /** Answers the tfjs-core in which the backend is now registered, ours or its own; or says in words why it cannot be used. */
  readonly load: () => Promise<Tensorflow | string>;
}

/** Every kernel of network.ts, learn.ts and the momentum optimiser. */
const KERNELS = [
  'Add',
  'ArgMax',
  'BatchMatMul',
  'Identity',
  'Multiply',
  'RealDiv',
  'Relu',
  'Reshape',
  'Softmax',
  'Step',
  'Sub',
  'Sum',
  'Transpose',
  'ZerosLike',
];

const requireFromHere = createRequire(import.meta.url);

const CANDIDATES: Readonly<Record<BackendName, Candidate>> = {
  'tensorflow-gpu': nativeCandidate('@tensorflow/tfjs-node-gpu', 'gpu'),
  tensorflow: nativeCandidate('@tensorflow/tfjs-node', 'cpu'),
  wasm: {
    packageName: '@tensorflow/tfjs-backend-wasm',
    registeredAs: 'wasm',
    about: () => 'WebAssembly SIMD, one thread',
    load: async () => {
      const tf = await import('@tensorflow/tfjs-core');
      await import('@tensorflow/tfjs-backend-wasm');
      return (await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT')) === true ? tf : 'this Node.js has no WebAssembly SIMD';
    },
  },
  cpu: {
    packageName: '@tensorflow/tfjs-backend-cpu',
    registeredAs: 'cpu',
    about: () => 'plain JavaScript, slow',
    load: async () => {
      await import('@tensorflow/tfjs-backend-cpu');
      return import('@tensorflow/tfjs-core');
    },
  },
};

function nativeCandidate(name: string, kind: 'cpu' | 'gpu'): Candidate {
  const built = builtTensorflow(enginesFolder(process.env), kind);
  const packageName = findTensorflowAddon(built) === undefined ? name : built;
  return {
    packageName,
    registeredAs: 'tensorflow',
    about: (tf) => {
      const { isUsingGpuDevice } = tf.backend() as { isUsingGpuDevice?: boolean };
      return `libtensorflow ${isUsingGpuDevice === true ? 'on a CUDA device' : 'on the CPU'}`;
    },
    load: async () => {
      try {
        return requireFromHere(packageName) as Tensorflow;
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        const absent = code === 'MODULE_NOT_FOUND' && firstLine(message).includes(`'${packageName}'`);
        return absent ? 'not installed' : `does not load: ${firstLine(message)}`;
      }
    },
  };
}

const firstLine = (text: string): string => text.split('\n', 1)[0] ?? text;

/**
 * Opens the best backend that works here, or exactly `only`.
 * @throws CONFIG_INVALID when `only` cannot be used here
 */
export async function openBackend(only?: BackendName): Promise<Backend> {
  const refused: string[] = [];
  for (const backend of only === undefined ? BACKEND_NAMES : [only]) {
    const candidate = CANDIDATES[backend];
    const tf = await tryCandidate(candidate);
    if (typeof tf !== 'string') {
      const reason = [...refused, `${backend} (${candidate.about(tf)}) loads and has every kernel needed`].join('; ');
      return { tf, backend, version: packageVersion(candidate.packageName), reason };
    }
    refused.push(`${candidate.packageName}: ${tf}`);
  }
  throw new TributaryError('CONFIG_INVALID', {
    what: 'no usable TensorFlow.js backend',
    expected: only ?? BACKEND_NAMES.join(' or '),
    got: refused.join('; '),
    fix: only === undefined ? 'Install the packages again (npm ci).' : 'Leave the choice to the program (auto).',
  });
}

/** What `tributary doctor` prints. */
export async function describeBackend(): Promise<BackendDescription> {
  const { backend, version, reason } = await openBackend();
  return { backend, version, reason };
}

/** The started backend's tfjs-core, or why it cannot be used. */
async function tryCandidate(candidate: Candidate): Promise<Tensorflow | string> {
  const tf = await candidate.load();
  if (typeof tf === 'string') return tf;
  // Production mode drops the check of every result for NaN and the advertisement that the CPU backend prints.
  tf.enableProdMode();
  const missing = KERNELS.filter((kernel) => tf.getKernel(kernel, candidate.registeredAs) === undefined);
  if (missing.length > 0) return `lacks the kernels ${missing.join(', ')}`;
  if (!(await tf.setBackend(candidate.registeredAs).catch(() => false))) return 'does not start';
  try {
    // The native backend of tfjs 4.22 loads on Node.js 23 and later, but no operation of it works there.
    tf.tidy(() => tf.matMul(tf.ones([1, 1]), tf.ones([1, 1])).dataSync());
    return tf;
  } catch (error) {
    return `does not compute: ${firstLine((error as Error).message)}`;
  }
}

function packageVersion(packageName: string): string {
  return (requireFromHere(`${packageName}/package.json`) as { version: string }).version;
}
