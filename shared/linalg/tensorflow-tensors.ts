/**
 * Tensors that TensorFlow holds, by number, and the operations on them. The addon hands over neither f64 nor a device; f64 travels as 64-bit integers
 * and is reinterpreted on the other side, bit for bit.
 */
import { TributaryError } from '../errors/tributary-error.js';
import type { Matrix, Reals } from './linear-algebra.js';
import { type Attribute, type TensorflowAddon, TYPES } from './tensorflow-addon.js';

/** Valid inside of the `withTensors` that made it. */
export type Tensor = number & { readonly tensor: true };

type Type = keyof typeof TYPES;
type Attributes = Readonly<Record<string, Type | boolean>>;

/** Where operations run. */
export interface Placement {
  readonly addon: TensorflowAddon;
  /** TensorFlow's name (`/device:CPU:0`) where the addon can be told it. */
  readonly device: string | undefined;
}

export interface Tensors {
  /** The matrix in the element type it has. The data must stay as it is until the tensors are gone. */
  upload(a: Matrix<Reals>): Tensor;
  /** The matrix in f64. */
  uploadWide(a: Matrix<Reals>): Tensor;
  indices(...values: number[]): Tensor;
  /** @throws LINALG_FAILED with TensorFlow's reason */
  run(operation: string, attributes: Attributes, ...inputs: Tensor[]): Tensor;
  /** As `run`, for operations of several results. */
  runAll(operation: string, outputs: number, attributes: Attributes, ...inputs: Tensor[]): readonly Tensor[];
  cast(tensor: Tensor, from: 'f32' | 'f64', to: 'f32' | 'f64'): Tensor;
  readF32(tensor: Tensor): Float32Array;
  readF64(tensor: Tensor): Float64Array;
  /** An f64 tensor, rounded to the element type of `like`. */
  readLike<T extends Reals>(like: T, tensor: Tensor): T;
  /** Frees memory before the end. */
  drop(...tensors: Tensor[]): void;
}

/** Every tensor made in `work` is gone when it returns or throws. */
export function withTensors<R>({ addon, device }: Placement, work: (tensors: Tensors) => R): R {
  const alive = new Set<number>();
  const placed: Attribute[] = device === undefined ? [] : [{ name: '_device', type: addon.TF_ATTR_STRING, value: device }];

  const create = (shape: readonly number[], type: Type, data: Float32Array | Int32Array): Tensor => {
    const id = attempt('Upload', () => addon.createTensor(shape, TYPES[type], data));
    alive.add(id);
    return id as Tensor;
  };
  const tensors: Tensors = {
    upload({ rows, columns, data }) {
      if (data instanceof Float32Array) return create([rows, columns], 'f32', data);
      const halves = create([rows, columns], 'i64', new Int32Array(data.buffer, data.byteOffset, 2 * data.length));
      const tensor = tensors.run('Bitcast', { T: 'i64', type: 'f64' }, halves);
      tensors.drop(halves);
      return tensor;
    },
    uploadWide(a) {
      const tensor = tensors.upload(a);
      if (a.data instanceof Float64Array) return tensor;
      const wide = tensors.cast(tensor, 'f32', 'f64');
      tensors.drop(tensor);
      return wide;
    },
    indices: (...values) => create([values.length], 'i32', Int32Array.from(values)),
    run: (operation, attributes, ...inputs) => tensors.runAll(operation, 1, attributes, ...inputs)[0] as Tensor,
    runAll(operation, outputs, attributes, ...inputs) {
      const all = Object.entries(attributes).map(([name, value]) =>
        typeof value === 'boolean' ? { name, type: addon.TF_ATTR_BOOL, value } : { name, type: addon.TF_ATTR_TYPE, value: TYPES[value] },
      );
      const results = attempt(operation, () => addon.executeOp(operation, [...all, ...placed], inputs, outputs));
      for (const { id } of results) alive.add(id);
      return results.map(({ id }) => id as Tensor);
    },
    cast: (tensor, from, to) => tensors.run('Cast', { SrcT: from, DstT: to, Truncate: false }, tensor),
    readF32: (tensor) => attempt('Download', () => addon.tensorDataSync(tensor)) as Float32Array,
    readF64(tensor) {
      const whole = tensors.run('Bitcast', { T: 'f64', type: 'i64' }, tensor);
      const { buffer } = attempt('Download', () => addon.tensorDataSync(whole));
      tensors.drop(whole);
      return new Float64Array(buffer);
    },
    readLike<T extends Reals>(like: T, tensor: Tensor): T {
      if (like instanceof Float64Array) return tensors.readF64(tensor) as Reals as T;
      return tensors.readF32(tensors.cast(tensor, 'f64', 'f32')) as Reals as T;
    },
    drop(...gone) {
      for (const id of gone) if (alive.delete(id)) addon.deleteTensor(id);
    },
  };
  try {
    return work(tensors);
  } finally {
    for (const id of alive) addon.deleteTensor(id);
  }
}

function attempt<R>(operation: string, work: () => R): R {
  try {
    return work();
  } catch (error) {
    const { message } = error as Error;
    const reason = message.split('Message: ', 2)[1] ?? message;
    throw new TributaryError(
      'LINALG_FAILED',
      { what: `TensorFlow could not do ${operation}: ${reason.split('\n', 1)[0]}` },
      { cause: error },
    );
  }
}
