/**
 * LayersModel, as much of it as an evaluation uses. Native TensorFlow.js brings it; beside the other backends it is the package @tensorflow/tfjs-layers,
 * which is required when needed and described here.
 */
import { createRequire } from 'node:module';
import type * as tfjs from '@tensorflow/tfjs-core';
import { TributaryError } from '../../../shared/errors/tributary-error.js';
import type { Tensorflow } from '../../train/backend.js';

export interface SymbolicTensor {
  readonly name: string;
  readonly shape: readonly (number | null)[];
  readonly dtype: string;
}

export interface LayerWeight {
  readonly originalName: string;
  readonly shape: readonly number[];
}

export interface LayersModel {
  readonly inputs: readonly SymbolicTensor[];
  readonly weights: readonly LayerWeight[];
  setWeights(weights: readonly tfjs.Tensor[]): void;
  predictOnBatch(inputs: tfjs.Tensor | tfjs.Tensor[]): tfjs.Tensor | tfjs.Tensor[];
  dispose(): unknown;
}

export interface LayersPackage {
  readonly loadLayersModel: (handler: { load: () => Promise<object> }, options?: { strict: boolean }) => Promise<LayersModel>;
}

const PACKAGE = '@tensorflow/tfjs-layers';
const VERSION = '4.22.0';
const requireFromHere = createRequire(import.meta.url);

/** @throws EVALUATOR_UNAVAILABLE */
export function loadLayersPackage(tf: Tensorflow, load: (name: string) => unknown = requireFromHere): LayersPackage {
  if ('loadLayersModel' in tf) return tf as unknown as LayersPackage;
  try {
    return load(PACKAGE) as LayersPackage;
  } catch (error) {
    throw new TributaryError(
      'EVALUATOR_UNAVAILABLE',
      {
        what: `${PACKAGE} cannot be loaded`,
        got: (error as Error).message.split('\n', 1)[0],
        fix: `Install it: npm install ${PACKAGE}@${VERSION}`,
      },
      { cause: error },
    );
  }
}
