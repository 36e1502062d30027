/**
 * The engine on TensorFlow: raw operations through the native addon of tfjs-node(-gpu). CPU and GPU differ in the name of the device alone. TensorFlow
 * has threads of its own, and one worker thread computes with it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TributaryError } from '../errors/tributary-error.js';
import type { EngineChoice, LinearAlgebra } from './linear-algebra.js';
import { loadTensorflowAddon, type TensorflowAddon } from './tensorflow-addon.js';
import { choleskySolve, eigh, qr, singularValues, svd } from './tensorflow-factorisations.js';
import { gemm, gram } from './tensorflow-products.js';
import { spectrum } from './tensorflow-spectrum.js';
import { type Placement, withTensors } from './tensorflow-tensors.js';

export type TensorflowChoice = Extract<EngineChoice, { readonly engine: 'tensorflow' }>;

const CARDS = '/proc/driver/nvidia/gpus';

/** @throws ENGINE_UNAVAILABLE when the package does not load or has not got the device */
export async function createTensorflowEngine({ packageName, device }: TensorflowChoice): Promise<LinearAlgebra> {
  const addon = loadTensorflowAddon(packageName);
  const place = placeOn(addon, device, packageName);
  return {
    engine: 'tensorflow',
    device,
    library: ['libtensorflow', addon.TF_Version, ...(device === 'cpu' ? [] : ['on', cards()])].join(' '),
    gemm: (a, b, options) => gemm(place, a, b, options),
    gram: (a, side) => gram(place, a, side),
    svd: (a) => svd(place, a),
    singularValues: (a) => singularValues(place, a),
    eigh: (a) => eigh(place, a),
    choleskySolve: (a, b) => choleskySolve(place, a, b),
    qr: (a) => qr(place, a),
    spectrum: (a) => spectrum(place, a),
  };
}

/** `gpu:0` where TensorFlow found a GPU, else `cpu`. */
export const deviceOf = (addon: TensorflowAddon): string => (addon.isUsingGpuDevice() ? 'gpu:0' : 'cpu');

function placeOn(addon: TensorflowAddon, device: string, packageName: string): Placement {
  const name = `/device:${device === 'cpu' ? 'CPU:0' : device.toUpperCase()}`;
  // An addon as npm installs it ignores devices, even one that is nowhere, and computes on its own.
  const ignored = obstacle({ addon, device: '/device:NOWHERE:0' }) === undefined;
  const reason = ignored ? device !== deviceOf(addon) && `this build computes on ${deviceOf(addon)}` : obstacle({ addon, device: name });
  if (reason) {
    throw new TributaryError('ENGINE_UNAVAILABLE', { what: `TensorFlow cannot compute on ${device}: ${reason}`, where: packageName });
  }
  return { addon, device: ignored ? undefined : name };
}

/** Why nothing can be computed there. */
function obstacle(place: Placement): string | undefined {
  try {
    withTensors(place, (tensors) => tensors.uploadWide({ rows: 1, columns: 1, data: Float32Array.of(1) }));
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Models of the NVIDIA cards that the driver shows here. */
function cards(): string {
  try {
    const models = readdirSync(CARDS).map((card) => /^Model:\s*(.+)$/m.exec(readFileSync(join(CARDS, card, 'information'), 'utf8'))?.[1]);
    return [...new Set(models)].join(' or ');
  } catch {
    return 'a CUDA device';
  }
}
