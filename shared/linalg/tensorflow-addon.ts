/**
 * The native addon inside of @tensorflow/tfjs-node and tfjs-node-gpu, without the JavaScript around it: that knows no fp64, and would bring a second
 * tfjs-core. It loads in any thread, also in several and again after one has ended, but its table of attribute names has no lock: of the threads of a
 * process, one at a time may compute.
 */
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join } from 'node:path';
import { TributaryError } from '../errors/tributary-error.js';

/** TensorFlow's numbers of its element types (types.proto). */
export const TYPES = { f32: 1, f64: 2, i32: 3, i64: 9 } as const;

export interface Attribute {
  readonly name: string;
  readonly type: number;
  readonly value: boolean | number | string;
}

export interface TensorflowAddon {
  readonly TF_Version: string;
  readonly TF_ATTR_BOOL: number;
  readonly TF_ATTR_STRING: number;
  readonly TF_ATTR_TYPE: number;
  /** Tensors live until they are deleted. An i64 tensor takes pairs of 32-bit halves; there is no way to hand over f64. */
  createTensor(shape: readonly number[], type: number, data: Float32Array | Int32Array): number;
  deleteTensor(id: number): void;
  /** A copy. */
  tensorDataSync(id: number): Float32Array | BigInt64Array;
  executeOp(
    operation: string,
    attributes: readonly Attribute[],
    inputs: readonly number[],
    outputs: number,
  ): readonly { readonly id: number }[];
  isUsingGpuDevice(): boolean;
  getNumOfTensors(): number;
}

const requireFromHere = createRequire(import.meta.url);
const VERSION = '2.21.0';

/** Folder of the package that `npm run setup:tensorflow` builds. */
export const builtTensorflow = (enginesFolder: string, kind: 'cpu' | 'gpu'): string =>
  join(enginesFolder, `tensorflow-${VERSION}-${kind}`, 'node_modules/@tensorflow/tfjs-node-gpu');

/** What may be there, best first: what was built here, then the packages as npm installs them. */
export const tensorflowPackages = (enginesFolder: string): readonly string[] => [
  builtTensorflow(enginesFolder, 'gpu'),
  builtTensorflow(enginesFolder, 'cpu'),
  '@tensorflow/tfjs-node-gpu',
  '@tensorflow/tfjs-node',
];

/** Path of the addon of a package, if both are there. `packageName` resolves from here, or is the absolute path of a package. */
export function findTensorflowAddon(packageName: string): string | undefined {
  try {
    const folder = isAbsolute(packageName) ? packageName : dirname(requireFromHere.resolve(`${packageName}/package.json`));
    const version = readdirSync(join(folder, 'lib')).find((name) => name.startsWith('napi-v'));
    return version === undefined ? undefined : join(folder, 'lib', version, 'tfjs_binding.node');
  } catch {
    return undefined;
  }
}

/** @throws ENGINE_UNAVAILABLE */
export function loadTensorflowAddon(packageName: string): TensorflowAddon {
  const path = findTensorflowAddon(packageName);
  const fix = '`npm run setup:tensorflow` builds it (`-- --gpu` for CUDA).';
  if (path === undefined) throw new TributaryError('ENGINE_UNAVAILABLE', { what: 'TensorFlow is not installed', where: packageName, fix });
  try {
    return requireFromHere(path) as TensorflowAddon;
  } catch (error) {
    const reason = (error as Error).message.split('\n', 1)[0];
    throw new TributaryError('ENGINE_UNAVAILABLE', { what: `TensorFlow does not load: ${reason}`, where: path, fix }, { cause: error });
  }
}
