/** Writes small ONNX models with the wire writer: an affine layer, a perceptron, or any list of nodes. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly integers?: Readonly<Record<string, number>>;
}

export interface OnnxTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** TensorProto.DataType: 1 float, 7 int64. */
  readonly dataType: number;
  /** Little-endian values, or the own external data. */
  readonly values: Uint8Array | { readonly location: string; readonly offset: number; readonly length: number };
}

export interface OnnxPort {
  readonly name: string;
  readonly dataType: number;
  /** A text is a symbolic dimension. */
  readonly shape: readonly (number | string)[];
}

export interface OnnxModel {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
  /** Writes dims as one packed field, as other writers than protobuf's own proto2 do. */
  readonly packedDims?: boolean;
}

type Part = (writer: BinaryWriter) => void;

const message =
  (field: number, ...parts: readonly Part[]): Part =>
  (writer) => {
    const inner = new BinaryWriter();
    for (const part of parts) part(inner);
    writer.tag(field, WireType.LengthDelimited).bytes(inner.finish());
  };
const text =
  (field: number, value: string): Part =>
  (writer) => {
    writer.tag(field, WireType.LengthDelimited).string(value);
  };
const whole =
  (field: number, value: number): Part =>
  (writer) => {
    writer.tag(field, WireType.Varint).int64(value);
  };
const bytes =
  (field: number, value: Uint8Array): Part =>
  (writer) => {
    writer.tag(field, WireType.LengthDelimited).bytes(value);
  };

const node = ({ op, inputs, outputs, integers = {} }: OnnxNode): Part =>
  message(
    1,
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, op),
    ...Object.entries(integers).map(([name, value]) => message(5, text(1, name), whole(3, value), whole(20, 2))),
  );

const entry = (key: string, value: string): Part => message(13, text(1, key), text(2, value));

function tensor({ name, shape, dataType, values }: OnnxTensor, packed: boolean): Part {
  const dims = packed
    ? [
        (writer: BinaryWriter) => {
          writer.tag(1, WireType.LengthDelimited).fork();
          for (const size of shape) writer.int64(size);
          writer.join();
        },
      ]
    : shape.map((size) => whole(1, size));
  const data =
    values instanceof Uint8Array
      ? [bytes(9, values)]
      : [entry('location', values.location), entry('offset', `${values.offset}`), entry('length', `${values.length}`), whole(14, 1)];
  return message(5, ...dims, whole(2, dataType), text(8, name), ...data);
}

const port = (field: number, { name, dataType, shape }: OnnxPort): Part =>
  message(
    field,
    text(1, name),
    message(
      2,
      message(
        1,
        whole(1, dataType),
        message(2, ...shape.map((size) => message(1, typeof size === 'number' ? whole(1, size) : text(2, size)))),
      ),
    ),
  );

export function encodeOnnx({ nodes, initializers, inputs, outputs, packedDims = false }: OnnxModel): Uint8Array {
  const writer = new BinaryWriter();
  whole(1, 8)(writer);
  text(2, 'tributary-test')(writer);
  message(
    7,
    ...nodes.map(node),
    text(2, 'graph'),
    ...initializers.map((one) => tensor(one, packedDims)),
    ...inputs.map((one) => port(11, one)),
    ...outputs.map((one) => port(12, one)),
  )(writer);
  // opset_import, after the graph as protobuf orders it.
  message(8, text(1, ''), whole(2, 17))(writer);
  return writer.finish();
}

export const floatBytes = (values: ArrayLike<number>): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

/** scores = x weight^T + bias, weight [classes, features] as PyTorch has it; values in the file are `weight` and `bias`. */
export function linearOnnx(options: {
  readonly features: number;
  readonly classes: number;
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
  readonly batch?: number | string;
  readonly packedDims?: boolean;
}): Uint8Array {
  const { features, classes, weight, bias, batch = 'batch', packedDims = false } = options;
  return encodeOnnx({
    nodes: [{ op: 'Gemm', inputs: ['x', 'fc.weight', 'fc.bias'], outputs: ['scores'], integers: { transB: 1 } }],
    initializers: [
      { name: 'fc.weight', shape: [classes, features], dataType: 1, values: floatBytes(weight) },
      { name: 'fc.bias', shape: [classes], dataType: 1, values: floatBytes(bias) },
    ],
    inputs: [{ name: 'x', dataType: 1, shape: [batch, features] }],
    outputs: [{ name: 'scores', dataType: 1, shape: [batch, classes] }],
    packedDims,
  });
}
