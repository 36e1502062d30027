/** Which tensors steps on whole matrices apply to, and how a tensor is seen as a matrix. */
import { layerOf } from '../recipe/layers.js';

/** Matrices that turn tokens into vectors and back, as models name them. */
const EMBEDDING_OR_HEAD =
  /(?:^|\.)(?:\w*embed\w*|wte|wpe|shared|relative_attention_bias|\w*head|embed_out|output|classifier|score|text_projection)(?:\.|$)/;

export interface MatrixShape {
  readonly rows: number;
  readonly columns: number;
}

/** Convolutions (out, in, height, width) are out x rest. Undefined for what has fewer than two rows or columns: there is one direction only. */
export function matrixShape(shape: readonly number[]): MatrixShape | undefined {
  const [rows = 0, ...rest] = shape;
  const columns = rest.reduce((product, size) => product * size, 1);
  return rest.length > 0 && rows > 1 && columns > 1 ? { rows, columns } : undefined;
}

/**
 * `layers`: what stands inside of a layer. Where no name of the model tells a layer, every matrix that is not called an embedding or a head.
 * @param names of all tensors of the model
 */
export function matrixPicker(which: string, names: readonly string[]): (name: string) => boolean {
  if (which === 'all') return () => true;
  if (names.some((name) => layerOf(name) !== undefined)) return (name) => layerOf(name) !== undefined;
  return (name) => !EMBEDDING_OR_HEAD.test(name);
}
