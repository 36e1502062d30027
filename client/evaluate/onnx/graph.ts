/**
 * As much of an ONNX file as binding weights needs: its initializers, and everything else byte for byte. Field numbers are those of onnx.proto
 * (ModelProto.graph 7; GraphProto.initializer 5; TensorProto dims 1, data_type 2, name 8, external_data 13, data_location 14).
 */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { TributaryError } from '../../../shared/errors/tributary-error.js';
import type { DType } from '../../../shared/formats/tensor.js';

/** TensorProto.DataType by the safetensors dtype with the same bytes. */
export const ONNX_TYPE: Readonly<Partial<Record<DType, number>>> = {
  F32: 1,
  U8: 2,
  I8: 3,
  U16: 4,
  I16: 5,
  I32: 6,
  I64: 7,
  BOOL: 9,
  F16: 10,
  F64: 11,
  U32: 12,
  U64: 13,
  BF16: 16,
};

const MODEL_GRAPH = 7;
const GRAPH_INITIALIZER = 5;
const TENSOR = { dims: 1, dataType: 2, name: 8, rawData: 9, externalData: 13, dataLocation: 14 } as const;
const EXTERNAL = 1;

export interface Initializer {
  readonly name: string;
  readonly shape: readonly number[];
  /** TensorProto.DataType. */
  readonly dataType: number;
  /** Its own external data: `location`, `offset`, `length`; empty when the values are in the file. */
  readonly external: ReadonlyMap<string, string>;
  /** The TensorProto as it stands in the file. */
  readonly bytes: Uint8Array;
}

/** The model's fields in order: graph fields as they are, initializers apart. */
export interface OnnxGraph {
  readonly beforeGraph: Uint8Array;
  readonly afterGraph: Uint8Array;
  readonly graphFields: Uint8Array;
  readonly initializers: readonly Initializer[];
}

/** Where the values of an initializer come from instead. */
export type Replacement =
  | { readonly kind: 'external'; readonly location: string; readonly offset: string | undefined; readonly length: string | undefined }
  | { readonly kind: 'raw'; readonly bytes: Uint8Array };

/** @throws DATA_INVALID */
export function parseOnnx(bytes: Uint8Array, where: string): OnnxGraph {
  try {
    return parseModel(bytes);
  } catch (error) {
    throw new TributaryError(
      'DATA_INVALID',
      { what: 'not an ONNX model', where, expected: 'a ModelProto with a graph', got: (error as Error).message },
      { cause: error },
    );
  }
}

function parseModel(bytes: Uint8Array): OnnxGraph {
  let graph: Uint8Array | undefined;
  const beforeGraph: Uint8Array[] = [];
  const afterGraph: Uint8Array[] = [];
  for (const field of fieldsOf(bytes)) {
    if (field.number !== MODEL_GRAPH) (graph === undefined ? beforeGraph : afterGraph).push(field.whole);
    else if (graph === undefined) graph = field.content;
    else throw new Error('two graphs');
  }
  if (graph === undefined) throw new Error('no graph');
  const graphFields: Uint8Array[] = [];
  const initializers: Initializer[] = [];
  for (const field of fieldsOf(graph)) {
    if (field.number === GRAPH_INITIALIZER) initializers.push(parseInitializer(field.content));
    else graphFields.push(field.whole);
  }
  return {
    beforeGraph: Buffer.concat(beforeGraph),
    afterGraph: Buffer.concat(afterGraph),
    graphFields: Buffer.concat(graphFields),
    initializers,
  };
}

interface Field {
  readonly number: number;
  readonly wireType: WireType;
  /** Tag and all. */
  readonly whole: Uint8Array;
  /** Of a length-delimited field. */
  readonly content: Uint8Array;
}

function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, wireType] = reader.tag();
    const content = wireType === WireType.LengthDelimited ? reader.bytes() : undefined;
    if (content === undefined) reader.skip(wireType, number);
    yield { number, wireType, whole: bytes.subarray(start, reader.pos), content: content ?? new Uint8Array() };
  }
}

function parseInitializer(bytes: Uint8Array): Initializer {
  const shape: number[] = [];
  const external = new Map<string, string>();
  let name = '';
  let dataType = 0;
  let isExternal = false;
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === TENSOR.dims && wireType === WireType.LengthDelimited) {
      const end = reader.uint32() + reader.pos;
      while (reader.pos < end) shape.push(Number(reader.int64()));
    } else if (number === TENSOR.dims) shape.push(Number(reader.int64()));
    else if (number === TENSOR.dataType) dataType = reader.int32();
    else if (number === TENSOR.name) name = reader.string();
    else if (number === TENSOR.dataLocation) isExternal = reader.int32() === EXTERNAL;
    else if (number === TENSOR.externalData) readEntry(reader.bytes(), external);
    else reader.skip(wireType, number);
  }
  if (!isExternal) external.clear();
  return { name, shape, dataType, external, bytes };
}

/** StringStringEntryProto: key 1, value 2. */
function readEntry(bytes: Uint8Array, into: Map<string, string>): void {
  let key = '';
  let value = '';
  for (const { number, content } of fieldsOf(bytes)) {
    if (number === 1) key = Buffer.from(content).toString('utf8');
    if (number === 2) value = Buffer.from(content).toString('utf8');
  }
  into.set(key, value);
}

/** The model with some initializers' values elsewhere; the others stay byte for byte. */
export function writeOnnx(graph: OnnxGraph, replacements: ReadonlyMap<string, Replacement>): Uint8Array {
  const inner = new BinaryWriter().raw(graph.graphFields);
  for (const initializer of graph.initializers) {
    const replacement = replacements.get(initializer.name);
    const bytes = replacement === undefined ? initializer.bytes : writeInitializer(initializer, replacement);
    inner.tag(GRAPH_INITIALIZER, WireType.LengthDelimited).bytes(bytes);
  }
  const model = new BinaryWriter().raw(graph.beforeGraph);
  model.tag(MODEL_GRAPH, WireType.LengthDelimited).bytes(inner.finish());
  return model.raw(graph.afterGraph).finish();
}

function writeInitializer({ name, shape, dataType }: Initializer, replacement: Replacement): Uint8Array {
  const writer = new BinaryWriter();
  for (const size of shape) writer.tag(TENSOR.dims, WireType.Varint).int64(size);
  writer.tag(TENSOR.dataType, WireType.Varint).int32(dataType).tag(TENSOR.name, WireType.LengthDelimited).string(name);
  if (replacement.kind === 'raw') return writer.tag(TENSOR.rawData, WireType.LengthDelimited).bytes(replacement.bytes).finish();
  const { location, offset, length } = replacement;
  for (const [key, value] of Object.entries({ location, offset, length })) {
    if (value === undefined) continue;
    const entry = new BinaryWriter().tag(1, WireType.LengthDelimited).string(key).tag(2, WireType.LengthDelimited).string(value);
    writer.tag(TENSOR.externalData, WireType.LengthDelimited).bytes(entry.finish());
  }
  return writer.tag(TENSOR.dataLocation, WireType.Varint).int32(EXTERNAL).finish();
}
