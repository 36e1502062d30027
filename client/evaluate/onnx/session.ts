/**
 * onnxruntime-node, as much of it as an evaluation uses. The package is optional, so it is required when needed and described here.
 *
 * onnxruntime 1.30 reads external data only from below the model's folder: it refuses absolute locations, `..` and links that lead out. A model given
 * as bytes has no folder but the one the option below names, so that is `/`, and locations are absolute paths without their first slash.
 */
import { createRequire } from 'node:module';
import { TributaryError } from '../../../shared/errors/tributary-error.js';
import type { NumericArray } from '../data/column.js';
import type { NumberType } from '../data/prepare-input.js';

export interface OnnxTensor {
  readonly type: NumberType;
  readonly data: NumericArray;
  readonly dims: readonly number[];
}

export interface OnnxPort {
  readonly name: string;
  readonly isTensor: boolean;
  /** A number type, or `string`; absent when it is no tensor. */
  readonly type?: string;
  /** A text is a dimension that may be anything. */
  readonly shape?: readonly (number | string)[];
}

export interface OnnxSession {
  readonly inputMetadata: readonly OnnxPort[];
  readonly outputNames: readonly string[];
  run(feeds: Readonly<Record<string, OnnxTensor>>, fetches: readonly string[]): Promise<Readonly<Record<string, OnnxTensor>>>;
  release(): Promise<void>;
}

export interface OnnxRuntime {
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<OnnxSession> };
  readonly Tensor: new (type: NumberType, data: NumericArray, dims: readonly number[]) => OnnxTensor;
}

export interface SessionOptions {
  readonly threads?: number | undefined;
  readonly providers?: readonly string[] | undefined;
}

const PACKAGE = 'onnxruntime-node';
const VERSION = '1.30.0';
const requireFromHere = createRequire(import.meta.url);

/** @throws EVALUATOR_UNAVAILABLE */
export function loadOnnxRuntime(load: (name: string) => unknown = requireFromHere): OnnxRuntime {
  try {
    return load(PACKAGE) as OnnxRuntime;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const absent = code === 'MODULE_NOT_FOUND' && message.includes(`'${PACKAGE}'`);
    throw new TributaryError(
      'EVALUATOR_UNAVAILABLE',
      {
        what: `${PACKAGE} ${absent ? 'is not installed' : 'does not load'}`,
        got: absent ? undefined : message.split('\n', 1)[0],
        fix: `Install it: npm install ${PACKAGE}@${VERSION}`,
      },
      { cause: error },
    );
  }
}

const ERRORS_ONLY = 3;

/** @throws DATA_INVALID when onnxruntime refuses the graph */
export async function openSession(
  runtime: OnnxRuntime,
  model: Uint8Array,
  graphPath: string,
  options: SessionOptions,
): Promise<OnnxSession> {
  try {
    return await runtime.InferenceSession.create(model, {
      logSeverityLevel: ERRORS_ONLY,
      ...(options.threads === undefined ? {} : { intraOpNumThreads: options.threads }),
      ...(options.providers === undefined ? {} : { executionProviders: options.providers }),
      extra: { session: { model_external_initializers_file_folder_path: '/' } },
    });
  } catch (error) {
    throw new TributaryError(
      'DATA_INVALID',
      { what: 'onnxruntime does not take the graph with the weights of the candidate', where: graphPath, got: (error as Error).message },
      { cause: error },
    );
  }
}
