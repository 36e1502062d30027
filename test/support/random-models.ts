/**
 * Random small models for property tests. Two kinds: on a `grid` every weight, difference and dyadic multiple is exact in every dtype, and
 * zeros, equal magnitudes and ties abound, so that a rule's choices must be the reference's to the last element; `wide` ones are ordinary
 * floating-point numbers of each model's own dtype.
 */
import fc from 'fast-check';
import { elementCount } from '../../shared/formats/safetensors-header.js';
import type { MergeDType } from '../../shared/formats/tensor.js';
import type { Model, Values } from './merge-fixture.js';
import type { ReferenceModel } from './reference/vectors.js';
import { decode, encode } from './scalar-reference.js';

export interface RandomModels {
  readonly base: Model;
  readonly models: readonly Model[];
}

export type Kind = 'grid' | 'wide';

/** Blocks' names and one outside of blocks. */
const NAMES = ['embed.weight', 'layers.0.weight', 'layers.1.weight'];

const shape: fc.Arbitrary<number[]> = fc.oneof(
  fc.tuple(fc.integer({ min: 1, max: 40 })),
  fc.tuple(fc.constant(1), fc.integer({ min: 1, max: 20 })),
  fc.tuple(fc.integer({ min: 1, max: 20 }), fc.constant(1)),
  fc.tuple(fc.integer({ min: 2, max: 9 }), fc.integer({ min: 2, max: 11 })),
  fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 5 }), fc.constantFrom(1, 3), fc.constantFrom(1, 2)),
);
const dtype = fc.constantFrom('F32' as const, 'BF16' as const, 'F16' as const);

/** Numbers that depend on nothing but the seed. */
export function stream(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const gridStep = (next: () => number, spread: number): number => Math.round((next() * 2 - 1) * spread) / 8;
/** Near to normal, of deviation about 0.6. */
const bell = (next: () => number): number => next() + next() + next() + next() - 2;

function storedAs(dtype: MergeDType, dimensions: readonly number[], values: readonly number[]): Values {
  const bits = values.map((value) => encode(dtype, value));
  return { dtype, shape: dimensions, bits, values: bits.map((one) => decode(dtype, one)) };
}

interface Plan {
  readonly kind: Kind;
  readonly seed: number;
  readonly shapes: readonly (readonly number[])[];
  /** [model or base][tensor] */
  readonly dtypes: readonly (readonly MergeDType[])[];
}

function build({ kind, seed, shapes, dtypes }: Plan): RandomModels {
  const next = stream(seed);
  const [baseDtypes = [], ...others] = dtypes;
  const bases = shapes.map((one, index): Values => {
    const values = Array.from({ length: elementCount(one) ?? 0 }, () => (kind === 'grid' ? gridStep(next, 48) : bell(next)));
    const stored = baseDtypes[index] ?? 'F32';
    return storedAs(stored, one, values);
  });
  const nameAll = (tensors: readonly Values[]): Model => Object.fromEntries(tensors.map((tensor, index) => [NAMES[index] ?? '', tensor]));
  const models = others.map((own) =>
    nameAll(
      bases.map((base, index) => {
        const stored = own[index] ?? 'F32';
        const values = (base.values ?? []).map((value) => {
          if (next() < 0.15) return value;
          return value + (kind === 'grid' ? gridStep(next, 32) : bell(next) * 0.3);
        });
        return storedAs(stored, base.shape ?? [], values);
      }),
    ),
  );
  return { base: nameAll(bases), models };
}

export interface Wanted {
  readonly kind: Kind;
  readonly count: number;
  /** One dtype for all, where a test is about something else. */
  readonly dtype?: MergeDType | undefined;
}

/** A base and `count` models of it, of one or three tensors. */
export function randomModels({ kind, count, dtype: only }: Wanted): fc.Arbitrary<RandomModels> {
  const oneDtype = only === undefined ? dtype : fc.constant(only);
  return fc
    .oneof(fc.tuple(shape), fc.tuple(shape, shape, shape))
    .chain((shapes) =>
      fc.record({
        kind: fc.constant(kind),
        seed: fc.integer(),
        shapes: fc.constant(shapes),
        dtypes: fc.array(fc.array(oneDtype, { minLength: shapes.length, maxLength: shapes.length }), {
          minLength: count + 1,
          maxLength: count + 1,
        }),
      }),
    )
    .map(build);
}

/** One embedding of several statistics units of 65,536 elements and a bit, and two small layers. */
export function largeModels(count: number, seed: number, dtypes: readonly MergeDType[] = ['BF16', 'F32', 'F16']): RandomModels {
  const shapes = [[1095, 64], [33, 31], [7]];
  const own = Array.from({ length: count + 1 }, (_, model) =>
    shapes.map((_unused, index) => dtypes[(model + index) % dtypes.length] ?? 'F32'),
  );
  return build({ kind: 'wide', seed, shapes, dtypes: own });
}

export function toReference(model: Model): ReferenceModel {
  return new Map(
    Object.entries(model).map(([name, tensor]) => {
      if ('bytes' in tensor) throw new Error('a tensor of bytes has no numbers');
      return [name, { shape: tensor.shape ?? [tensor.values?.length ?? 0], values: Float64Array.from(tensor.values ?? []) }];
    }),
  );
}
