/** Whether two factors make up a weight: matrices, matrices stored the other way round, convolutions, embeddings. */
import { TributaryError } from '../errors/tributary-error.js';
import { refuseAdapter } from './adapter-config.js';
import { isMergeDType, type TensorInfo } from './tensor.js';

export interface FactorShapes {
  /** B and A. */
  readonly left: TensorInfo;
  readonly right: TensorInfo;
  readonly weight: TensorInfo;
  /** Of the configuration. */
  readonly rank: number;
  readonly embedding: boolean;
  readonly fanInFanOut: boolean;
  readonly module: string;
  readonly where: string;
}

export interface FactorFit {
  readonly transposed: boolean;
  /** Two dimensions. */
  readonly matrix: boolean;
  /** A matrix that fits either way. */
  readonly square: boolean;
}

/** What the workers hold of a factor, in bytes; far beyond every adapter there is. */
const MAX_FACTOR_BYTES = 384 * 1024 * 1024;

const text = ({ shape }: TensorInfo): string => `[${shape.join(', ')}]`;

function requireRank({ left, right, rank, module, where }: FactorShapes): void {
  const [rows, ...behind] = right.shape;
  const [, inner, ...kernel] = left.shape;
  if (
    kernel.every((size) => size === 1) &&
    rows === rank &&
    inner !== undefined &&
    inner !== rank &&
    rank % inner === 0 &&
    kernel.length > 0
  )
    refuseAdapter('ADAPTER_UNSUPPORTED', where, `${module} is a convolution in groups, whose factors mix channels of all groups`);
  if (rows === rank && inner === rank && behind.length > 0 && kernel.every((size) => size === 1)) return;
  refuseAdapter('ADAPTER_INVALID', where, `the factors of ${module} do not have the rank that the configuration says`, {
    expected: `A [${rank}, in] and B [out, ${rank}]`,
    got: `A ${text(right)} and B ${text(left)}`,
    fix: 'r, rank_pattern and the file must belong together: save the adapter again.',
  });
}

/** @throws ADAPTER_INVALID, ADAPTER_UNSUPPORTED, UNSUPPORTED_DTYPE */
export function fitFactors(shapes: FactorShapes): FactorFit {
  const { left, right, weight, embedding, fanInFanOut, module, where } = shapes;
  for (const { name, dtype } of [left, right, weight]) {
    if (isMergeDType(dtype)) continue;
    throw new TributaryError('UNSUPPORTED_DTYPE', {
      what: `${name} has a dtype without merge arithmetic`,
      where,
      expected: 'F32, F16 or BF16',
      got: dtype,
      fix: name === weight.name ? 'Take the base as it was before it was quantized.' : 'Save the adapter in another dtype.',
    });
  }
  requireRank(shapes);
  const [out = 0] = left.shape;
  const inner = right.shape.slice(1);
  const fits = (shape: readonly number[]): boolean => shape.join() === weight.shape.join();
  const plain = fits([out, ...inner]);
  const turned = inner.length === 1 && left.shape.length === 2 && fits([inner[0] ?? 0, out]);
  const usable = embedding ? turned : plain || turned;
  if (!usable) {
    if (weight.shape.length > 2 && left.shape.length === 2)
      refuseAdapter('ADAPTER_UNSUPPORTED', where, `the weight of ${module} is several matrices in one`, { got: text(weight) });
    refuseAdapter('ADAPTER_INVALID', where, `the factors of ${module} do not fit the base's weight`, {
      expected: text(weight),
      got: `A ${text(right)} and B ${text(left)}`,
      fix: 'Give the base that the adapter was trained on.',
    });
  }
  const transposed = embedding || (turned && (!plain || fanInFanOut));
  const columns = transposed ? out : inner.reduce((product, size) => product * size, 1);
  if (columns * shapes.rank * 4 > MAX_FACTOR_BYTES)
    refuseAdapter('ADAPTER_UNSUPPORTED', where, `a factor of ${module} is too large`, {
      expected: `at most ${MAX_FACTOR_BYTES} bytes as F32`,
      got: `${columns * shapes.rank * 4}`,
    });
  return { transposed, matrix: inner.length === 1, square: plain && turned };
}
