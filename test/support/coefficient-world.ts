/**
 * A world in which the merged weights of task arithmetic are the coefficients: the base is zero, contributor i has 1 at place i. Whatever reads the
 * weights of a candidate knows its coefficients exactly, so metrics can be known functions of them.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { safetensorsBytes, type TestTensor } from './write-checkpoint.js';

export const TENSOR = 'model.coefficients';

function tensorOf(values: readonly number[]): TestTensor {
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  return { name: TENSOR, dtype: 'F32', shape: [values.length], bytes };
}

function writeModel(folder: string, values: readonly number[]): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'model.safetensors'), safetensorsBytes([tensorOf(values)]));
  writeFileSync(join(folder, 'config.json'), '{"model_type": "coefficients"}\n');
  return folder;
}

export interface CoefficientWorld {
  readonly base: string;
  /** Name and folder, in the order of names. */
  readonly contributors: readonly { readonly name: string; readonly folder: string }[];
}

export function writeCoefficientWorld(dir: string, contributors: number): CoefficientWorld {
  const oneAt = (at: number): number[] => Array.from({ length: contributors }, (_, index) => (index === at ? 1 : 0));
  return {
    base: writeModel(join(dir, 'base'), oneAt(-1)),
    contributors: Array.from({ length: contributors }, (_, at) => {
      const name = `team${at.toString().padStart(2, '0')}`;
      return { name, folder: writeModel(join(dir, name), oneAt(at)) };
    }),
  };
}
