/**
 * Which initializer of a graph gets its values from which tensor of a candidate. Pure but for matrices that have to be transposed: everything else
 * stays where it lies in the candidate's file and onnxruntime reads it from there.
 */
import { dirname, resolve } from 'node:path';
import { DTYPE_BYTES, type StoredTensor, type TensorMap } from '../../../shared/formats/tensor.js';
import { refuseData } from '../data/column.js';
import { readRange } from '../data/safetensors.js';
import { someNames, tensorNameOf, transposeBytes } from '../weight-names.js';
import { type Initializer, ONNX_TYPE, type OnnxGraph, type Replacement } from './graph.js';

export interface BindOptions {
  readonly graphPath: string;
  readonly weights?: Readonly<Record<string, string>> | undefined;
  readonly transpose?: readonly string[] | undefined;
}

export interface Binding {
  readonly initializer: Initializer;
  readonly tensor: StoredTensor;
  readonly transposed: boolean;
}

export interface Bindings {
  readonly bound: readonly Binding[];
  /** Initializers that keep the graph's own values. */
  readonly kept: readonly Initializer[];
  /** Tensors of the candidate that no initializer takes: changes to them are not measured. */
  readonly unused: readonly string[];
}

/** @throws DATA_INVALID when nothing matches, or what matches has another dtype or shape */
export function bindWeights(graph: OnnxGraph, tensors: TensorMap, candidate: string, options: BindOptions): Bindings {
  const bound: Binding[] = [];
  const kept: Initializer[] = [];
  const transpose = new Set(options.transpose);
  for (const initializer of graph.initializers) {
    const { name, mapped } = tensorNameOf(initializer.name, options.weights ?? {});
    const tensor = tensors.get(name);
    const transposed = transpose.delete(initializer.name);
    if (tensor !== undefined) {
      checkBinding({ initializer, tensor, transposed }, candidate);
      bound.push({ initializer, tensor, transposed });
    } else if (mapped || transposed) {
      refuseData(candidate, `the candidate has no tensor ${name} for initializer ${initializer.name}`, { expected: name });
    } else kept.push(initializer);
  }
  const known = new Set(graph.initializers.map(({ name }) => name));
  const wrong = [...transpose, ...Object.keys(options.weights ?? {}).filter((name) => !name.includes('*') && !known.has(name))];
  if (wrong.length > 0) refuseData(options.graphPath, `the graph has no initializer ${wrong.join(', ')}`, { got: someNames([...known]) });
  if (bound.length === 0) {
    refuseData(options.graphPath, 'no initializer of the graph has the name of a tensor of the candidate', {
      expected: someNames([...tensors.keys()]),
      got: someNames([...known]),
      fix: 'Map them with `weights`, or export the graph with its parameters under their own names (keep_initializers_as_inputs, do_constant_folding=False).',
    });
  }
  const used = new Set(bound.map(({ tensor }) => tensor.name));
  return { bound, kept, unused: [...tensors.keys()].filter((name) => !used.has(name)) };
}

function checkBinding({ initializer, tensor, transposed }: Binding, candidate: string): void {
  const expected = transposed ? [...initializer.shape].reverse() : initializer.shape;
  if (transposed && expected.length !== 2) {
    refuseData(candidate, `initializer ${initializer.name} is to be transposed and is no matrix`, {
      got: `[${initializer.shape.join(', ')}]`,
    });
  }
  if (tensor.shape.join() !== expected.join()) {
    const reversed = [...tensor.shape].reverse().join() === expected.join();
    refuseData(candidate, `tensor ${tensor.name} has another shape than initializer ${initializer.name} of the graph`, {
      expected: `[${expected.join(', ')}]`,
      got: `[${tensor.shape.join(', ')}]`,
      fix: reversed && !transposed ? `List ${initializer.name} under \`transpose\`.` : undefined,
    });
  }
  if (ONNX_TYPE[tensor.dtype] !== initializer.dataType) {
    const name = Object.entries(ONNX_TYPE).find(([, code]) => code === initializer.dataType)?.[0];
    refuseData(candidate, `tensor ${tensor.name} has another dtype than initializer ${initializer.name} of the graph`, {
      expected: name ?? `ONNX data type ${initializer.dataType}`,
      got: tensor.dtype,
      fix: 'Merge with the `out_dtype` of the graph, or export the graph in the dtype of the model.',
    });
  }
}

/** A square matrix fits both ways, so `transpose` is never guessed. Locations are absolute without their first slash: see session.ts. */
export async function replacementsOf(bindings: Bindings, graphPath: string): Promise<ReadonlyMap<string, Replacement>> {
  const replacements = new Map<string, Replacement>();
  for (const { name, external } of bindings.kept) {
    const location = external.get('location');
    if (location === undefined) continue;
    const path = resolve(dirname(resolve(graphPath)), location);
    replacements.set(name, { kind: 'external', location: fromRoot(path), offset: external.get('offset'), length: external.get('length') });
  }
  for (const { initializer, tensor, transposed } of bindings.bound) {
    const [segment] = tensor.segments;
    // Nothing to read, and onnxruntime refuses a range of no bytes.
    if (segment === undefined || segment.length === 0) continue;
    const { path, offset, length } = segment;
    const [rows = 0, columns = 0] = tensor.shape;
    const replacement: Replacement = transposed
      ? { kind: 'raw', bytes: transposeBytes(await readRange(path, offset, length), rows, columns, DTYPE_BYTES[tensor.dtype]) }
      : { kind: 'external', location: fromRoot(resolve(path)), offset: `${offset}`, length: `${length}` };
    replacements.set(initializer.name, replacement);
  }
  return replacements;
}

const fromRoot = (path: string): string => path.slice(1);
