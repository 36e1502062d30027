/**
 * Which TensorFlow.js backend does the arithmetic, and why. The model code is the same on all of them: it uses tfjs-core operations only.
 * The native packages are optional; a candidate is taken only when it loads, shares our tfjs-core and has every kernel the network runs.
 */
import { createRequire } from 'node:module';
import type * as tfjs from '@tensorflow/tfjs-core';
import { TributaryError } from '../../shared/errors/tributary-error.js';

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
  readonly packageName: string;
  /** The name under which the package registers itself in tfjs-core. */
  readonly registeredAs: string;
  /** What it computes on; asked after it started. */
  readonly about: (tf: Tensorflow) => string;
  /** Registers the backend; answers why it cannot be used, or undefined. */
  readonly load: (tf: Tensorflow) => Promise<string | undefined>;
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
  'tensorflow-gpu': nativeCandidate('@tensorflow/tfjs-node-gpu'),
  tensorflow: nativeCandidate('@tensorflow/tfjs-node'),
  wasm: {
    packageName: '@tensorflow/tfjs-backend-wasm',
    registeredAs: 'wasm',
    about: () => 'WebAssembly SIMD, one thread',
    load: async (tf) => {
      await import('@tensorflow/tfjs-backend-wasm');
      return (await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT')) === true ? undefined : 'this Node.js has no WebAssembly SIMD';
    },
  },
  cpu: {
    packageName: '@tensorflow/tfjs-backend-cpu',
    registeredAs: 'cpu',
    about: () => 'plain JavaScript, slow',
    load: async () => {
      await import('@tensorflow/tfjs-backend-cpu');
      return undefined;
    },
  },
};

function nativeCandidate(packageName: string): Candidate {
  return {
    packageName,
    registeredAs: 'tensorflow',
    about: (tf) => {
      const { isUsingGpuDevice } = tf.backend() as { isUsingGpuDevice?: boolean };
      return `libtensorflow ${isUsingGpuDevice === true ? 'on a CUDA device' : 'on the CPU'}`;
    },
    load: async (tf) => {
      try {
        const native = requireFromHere(packageName) as Tensorflow;
        return native.Tensor === tf.Tensor ? undefined : 'it brings a second copy of tfjs-core';
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
  const tf = await import('@tensorflow/tfjs-core');
  // Production mode drops the check of every result for NaN and the advertisement that the CPU backend prints.
  tf.enableProdMode();
  const refused: string[] = [];
  for (const backend of only === undefined ? BACKEND_NAMES : [only]) {
    const candidate = CANDIDATES[backend];
    const obstacle = await tryCandidate(tf, candidate);
    if (obstacle === undefined) {
      const reason = [...refused, `${backend} (${candidate.about(tf)}) loads and has every kernel needed`].join('; ');
      return { tf, backend, version: packageVersion(candidate.packageName), reason };
    }
    refused.push(`${candidate.packageName}: ${obstacle}`);
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

async function tryCandidate(tf: Tensorflow, candidate: Candidate): Promise<string | undefined> {
  const obstacle = await candidate.load(tf);
  if (obstacle !== undefined) return obstacle;
  const missing = KERNELS.filter((kernel) => tf.getKernel(kernel, candidate.registeredAs) === undefined);
  if (missing.length > 0) return `lacks the kernels ${missing.join(', ')}`;
  const started = await tf.setBackend(candidate.registeredAs).catch(() => false);
  return started ? undefined : 'does not start';
}

function packageVersion(packageName: string): string {
  return (requireFromHere(`${packageName}/package.json`) as { version: string }).version;
}
