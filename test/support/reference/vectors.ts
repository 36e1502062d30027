/**
 * Plain data of the reference merges: whole tensors as arrays of doubles, every sum taken in index order. Slow on purpose: each function
 * is one definition, so that a reader can check a rule against its paper line by line.
 */

export type Vector = Float64Array;

export interface ReferenceTensor {
  readonly shape: readonly number[];
  readonly values: Vector;
}

/** Tensors by name. All models of a merge have the same names and shapes, in the same order. */
export type ReferenceModel = ReadonlyMap<string, ReferenceTensor>;

export const at = (vector: ArrayLike<number>, index: number): number => vector[index] ?? 0;

export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

export function zeros(count: number): Vector {
  return new Float64Array(count);
}

/** out[j] = combine(the vectors' j-th elements, j). */
export function across(vectors: readonly Vector[], combine: (elements: readonly number[], index: number) => number): Vector {
  return Float64Array.from(vectors[0] ?? [], (_, index) =>
    combine(
      vectors.map((vector) => at(vector, index)),
      index,
    ),
  );
}

export function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

export const mean = (values: readonly number[]): number => sum(values) / values.length;

export function dot(a: Vector, b: Vector): number {
  return sum(a.map((value, index) => value * at(b, index)));
}

export const norm = (a: Vector): number => Math.sqrt(dot(a, a));
export const sumAbs = (a: Vector): number => sum(a.map(Math.abs));
export const scaled = (a: Vector, factor: number): Vector => a.map((value) => factor * value);
export const plus = (a: Vector, b: Vector): Vector => a.map((value, index) => value + at(b, index));
export const minus = (a: Vector, b: Vector): Vector => a.map((value, index) => value - at(b, index));
export const squaredDistance = (a: Vector, b: Vector): number => dot(minus(a, b), minus(a, b));
export const distance = (a: Vector, b: Vector): number => norm(minus(a, b));

/** sum of coefficients[i] vectors[i] */
export function combination(vectors: readonly Vector[], coefficients: readonly number[]): Vector {
  return across(vectors, (elements) => sum(elements.map((element, index) => element * at(coefficients, index))));
}

export function meanVector(vectors: readonly Vector[]): Vector {
  return across(vectors, mean);
}

/** The middle value; of an even number of values the mean of the middle two, or the lower one. */
export function median(values: readonly number[], even: 'mean' | 'lower' = 'mean'): number {
  const sorted = values.toSorted((a, b) => a - b);
  const high = at(sorted, Math.floor(sorted.length / 2));
  const low = at(sorted, Math.floor((sorted.length - 1) / 2));
  return even === 'lower' ? low : (low + high) / 2;
}

/** Linear interpolation between the sorted values at position q (n - 1). */
export function quantile(values: ArrayLike<number>, q: number): number {
  const sorted = Float64Array.from(values).toSorted();
  const position = q * (sorted.length - 1);
  const low = Math.floor(position);
  return at(sorted, low) + (position - low) * (at(sorted, Math.ceil(position)) - at(sorted, low));
}

/** All tensors one after the other, in the model's order. */
export function flatten(model: ReferenceModel): Vector {
  return Float64Array.from([...model.values()].flatMap((tensor) => [...tensor.values]));
}

export function unflatten(flat: Vector, like: ReferenceModel): ReferenceModel {
  let start = 0;
  return new Map(
    [...like].map(([name, { shape, values }]) => {
      const from = start;
      start += values.length;
      return [name, { shape, values: flat.slice(from, start) }];
    }),
  );
}

export type TensorRule = (vectors: readonly Vector[], shape: readonly number[], name: string) => Vector;

/** Applies a rule to each tensor on its own. */
export function perTensor(models: readonly ReferenceModel[], rule: TensorRule): ReferenceModel {
  const [first] = models;
  return new Map(
    [...(first ?? [])].map(([name, { shape }]) => [
      name,
      {
        shape,
        values: rule(
          models.map((model) => model.get(name)?.values ?? zeros(0)),
          shape,
          name,
        ),
      },
    ]),
  );
}

/** Applies a rule to all tensors as one flat vector a model. */
export function globally(models: readonly ReferenceModel[], rule: (vectors: readonly Vector[]) => Vector): ReferenceModel {
  const [like = new Map()] = models;
  return unflatten(rule(models.map(flatten)), like);
}

/** Index sets of the one-dimensional slices along a dimension; a 1-D tensor (or a scalar) is one slice. */
export function slicesAlong(shape: readonly number[], dimension: number): number[][] {
  if (shape.length < 2) return [Array.from({ length: elementsOf(shape) }, (_, index) => index)];
  const length = at(shape, dimension);
  const stride = elementsOf(shape.slice(dimension + 1));
  const outer = elementsOf(shape.slice(0, dimension));
  return Array.from({ length: outer * stride }, (_, slice) => {
    const start = Math.floor(slice / stride) * length * stride + (slice % stride);
    return Array.from({ length }, (_unused, index) => start + index * stride);
  });
}

export const lastDimension = (shape: readonly number[]): number => Math.max(0, shape.length - 1);

/** Applies a rule to every slice along a dimension. */
export function perSlice(
  vectors: readonly Vector[],
  shape: readonly number[],
  dimension: number,
  rule: (slices: readonly Vector[]) => Vector,
): Vector {
  const out = zeros(elementsOf(shape));
  for (const indices of slicesAlong(shape, dimension)) {
    const result = rule(vectors.map((vector) => Float64Array.from(indices, (index) => at(vector, index))));
    for (const [position, index] of indices.entries()) out[index] = at(result, position);
  }
  return out;
}
