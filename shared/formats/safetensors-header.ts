/**
 * The header of a safetensors file, read strictly and written deterministically. Pure: bytes in, plain data out.
 * What this module returns is safe to seek by: every tensor lies inside of the file, none overlaps, none leaves a hole.
 * Format: https://github.com/huggingface/safetensors (section "Format").
 */
import type { ErrorCode } from '../errors/catalogue.js';
import { TributaryError } from '../errors/tributary-error.js';
import { expectEnd, type JsonCursor, quoteForMessage, readCounts, readObject, readString, StrictJsonError } from './strict-json.js';
import { DTYPE_BYTES, type DType, isDType, type TensorInfo } from './tensor.js';

/** The format's own limit; a larger header is an attack or a mistake. */
export const MAX_HEADER_BYTES = 100_000_000;
/** The header is preceded by its length as an unsigned 64-bit little-endian number. */
export const LENGTH_BYTES = 8;
/** torch and numpy stop at 64 dimensions. */
const MAX_DIMENSIONS = 64;
const METADATA_KEY = '__metadata__';
/** Names that newer writers use for dtypes narrower than a byte: known, but nothing here can address them. */
const SUB_BYTE_DTYPES = new Set(['F4', 'F6_E2M3', 'F6_E3M2']);

/** One tensor of a file: `offset` is absolute, in bytes from the start of the file. */
export interface SafetensorsTensor extends TensorInfo {
  readonly offset: number;
  readonly sizeBytes: number;
}

export interface SafetensorsHeader {
  /** In order of offset. */
  readonly tensors: readonly SafetensorsTensor[];
  readonly metadata: ReadonlyMap<string, string>;
}

export interface HeaderContext {
  readonly fileSizeBytes: number;
  /** What to call the file in errors. */
  readonly where: string;
}

function refuse(
  code: ErrorCode,
  context: HeaderContext,
  what: string,
  details: { expected?: string; got?: string; fix?: string } = {},
): never {
  throw new TributaryError(code, { what, where: context.where, ...details });
}

/** Number of elements, or undefined when it is beyond 2^53 - 1. A shape with a zero holds nothing, whatever its other sizes. */
export function elementCount(shape: readonly number[]): number | undefined {
  if (shape.includes(0)) return 0;
  let count = 1;
  for (const size of shape) {
    count *= size;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return count;
}

interface RawTensor {
  dtype: string | undefined;
  shape: number[] | undefined;
  dataOffsets: number[] | undefined;
}

function readTensorEntry(cursor: JsonCursor, name: string): RawTensor {
  const raw: RawTensor = { dtype: undefined, shape: undefined, dataOffsets: undefined };
  readObject(cursor, (key) => {
    if (key === 'dtype') raw.dtype = readString(cursor);
    else if (key === 'shape') raw.shape = readCounts(cursor, MAX_DIMENSIONS);
    else if (key === 'data_offsets') raw.dataOffsets = readCounts(cursor, 2);
    else throw new StrictJsonError(`unknown key ${quoteForMessage(key)} in tensor ${quoteForMessage(name)}`, cursor.at);
  });
  return raw;
}

function checkTensor(name: string, raw: RawTensor, dataStart: number, context: HeaderContext): SafetensorsTensor {
  const { dtype, shape, dataOffsets } = raw;
  // Only built for messages: headers of mixture-of-experts models have a hundred thousand entries.
  const label = (): string => `tensor ${quoteForMessage(name)}`;
  if (dtype === undefined || shape === undefined || dataOffsets === undefined) {
    const missing = dtype === undefined ? 'dtype' : shape === undefined ? 'shape' : 'data_offsets';
    refuse('SAFETENSORS_HEADER_INVALID', context, `${label()} has no ${missing}`);
  }
  if (!isDType(dtype)) {
    if (SUB_BYTE_DTYPES.has(dtype)) refuse('UNSUPPORTED_DTYPE', context, `${label()} has a dtype narrower than a byte`, { got: dtype });
    refuse('SAFETENSORS_HEADER_INVALID', context, `${label()} has an unknown dtype`, {
      expected: Object.keys(DTYPE_BYTES).join(', '),
      got: quoteForMessage(dtype),
    });
  }
  const [begin, end] = dataOffsets;
  if (begin === undefined || end === undefined || end < begin) {
    refuse('SAFETENSORS_OFFSETS_INVALID', context, `${label()} has data_offsets that are not [begin, end]`, {
      got: `[${dataOffsets.join(', ')}]`,
    });
  }
  const elements = elementCount(shape);
  const sizeBytes = elements === undefined ? Number.POSITIVE_INFINITY : elements * DTYPE_BYTES[dtype];
  if (sizeBytes !== end - begin) {
    refuse('SAFETENSORS_SIZE_MISMATCH', context, `${label()} takes other bytes than its shape says`, {
      expected: `${Number.isSafeInteger(sizeBytes) ? sizeBytes : 'more than 2^53'} bytes for ${dtype} [${shape.join(', ')}]`,
      got: `${end - begin} bytes`,
    });
  }
  return { name, dtype, shape, offset: dataStart + begin, sizeBytes };
}

function readMetadata(cursor: JsonCursor, into: Map<string, string>): void {
  readObject(cursor, (key) => {
    into.set(key, readString(cursor));
  });
}

function checkLayout(tensors: SafetensorsTensor[], dataStart: number, context: HeaderContext): void {
  tensors.sort((a, b) => a.offset - b.offset || a.sizeBytes - b.sizeBytes);
  let at = dataStart;
  for (const tensor of tensors) {
    if (tensor.offset !== at) {
      refuse(
        'SAFETENSORS_OFFSETS_INVALID',
        context,
        `tensor ${quoteForMessage(tensor.name)} ${tensor.offset < at ? 'overlaps the one before it' : 'leaves a hole before it'}`,
        {
          expected: `data_offsets to begin at ${at - dataStart}`,
          got: `${tensor.offset - dataStart}`,
        },
      );
    }
    at += tensor.sizeBytes;
  }
  if (at > context.fileSizeBytes) {
    refuse('SAFETENSORS_TRUNCATED', context, 'the file ends before its tensor data does', {
      expected: `${at} bytes`,
      got: `${context.fileSizeBytes} bytes`,
      fix: 'Copy or download the file again.',
    });
  }
  if (at < context.fileSizeBytes) {
    refuse('SAFETENSORS_OFFSETS_INVALID', context, 'bytes follow the last tensor', {
      expected: `a file of ${at} bytes`,
      got: `${context.fileSizeBytes} bytes`,
    });
  }
}

/**
 * Parses and validates a header.
 * @param headerBytes the JSON text without the 8-byte length
 * @throws SAFETENSORS_* and UNSUPPORTED_DTYPE
 */
export function parseSafetensorsHeader(headerBytes: Uint8Array, context: HeaderContext): SafetensorsHeader {
  if (headerBytes.length > MAX_HEADER_BYTES) {
    refuse('SAFETENSORS_HEADER_TOO_LARGE', context, 'the header is too long', {
      expected: `at most ${MAX_HEADER_BYTES} bytes`,
      got: `${headerBytes.length}`,
    });
  }
  if (headerBytes[0] !== 0x7b) refuse('SAFETENSORS_HEADER_INVALID', context, "the header does not begin with '{'");
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(headerBytes);
  } catch {
    refuse('SAFETENSORS_HEADER_INVALID', context, 'the header is not valid UTF-8');
  }
  const dataStart = LENGTH_BYTES + headerBytes.length;
  const cursor: JsonCursor = { text, at: 0 };
  const tensors: SafetensorsTensor[] = [];
  const metadata = new Map<string, string>();
  let depth = 'top';
  try {
    readObject(cursor, (name) => {
      depth = 'entry';
      if (name === METADATA_KEY) readMetadata(cursor, metadata);
      else tensors.push(checkTensor(name, readTensorEntry(cursor, name), dataStart, context));
      depth = 'top';
    });
    expectEnd(cursor);
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    if (error.duplicateKey !== undefined && depth === 'top') {
      refuse('SAFETENSORS_DUPLICATE_NAME', context, `the name ${quoteForMessage(error.duplicateKey)} occurs twice`);
    }
    refuse('SAFETENSORS_HEADER_INVALID', context, `the header is not what the format prescribes: ${error.message}`);
  }
  checkLayout(tensors, dataStart, context);
  return { tensors, metadata };
}

/**
 * The beginning of a file whose tensors follow each other in the given order: length, JSON and padding, a multiple of 8 bytes long, so
 * that the first tensor is aligned. The same arguments give the same bytes.
 */
export function encodeSafetensorsHeader(tensors: readonly TensorInfo[], metadata: ReadonlyMap<string, string> = new Map()): Uint8Array {
  const parts: string[] = [];
  if (metadata.size > 0) parts.push(`"${METADATA_KEY}":${JSON.stringify(Object.fromEntries(metadata))}`);
  let at = 0;
  for (const tensor of tensors) {
    const end = at + tensorSizeBytes(tensor);
    parts.push(
      `${JSON.stringify(tensor.name)}:{"dtype":"${tensor.dtype}","shape":[${tensor.shape.join(',')}],"data_offsets":[${at},${end}]}`,
    );
    at = end;
  }
  const json = new TextEncoder().encode(`{${parts.join(',')}}`);
  const paddedBytes = Math.ceil(json.length / 8) * 8;
  if (paddedBytes > MAX_HEADER_BYTES) {
    throw new TributaryError('SAFETENSORS_HEADER_TOO_LARGE', {
      what: 'the header would be too long',
      expected: `at most ${MAX_HEADER_BYTES} bytes`,
      got: `${paddedBytes}`,
      fix: 'Use smaller shards.',
    });
  }
  const bytes = new Uint8Array(LENGTH_BYTES + paddedBytes).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(paddedBytes), true);
  bytes.set(json, LENGTH_BYTES);
  return bytes;
}

/** Bytes that a tensor of this shape and dtype takes. */
export function tensorSizeBytes(tensor: { readonly dtype: DType; readonly shape: readonly number[]; readonly name: string }): number {
  const elements = elementCount(tensor.shape);
  const sizeBytes = elements === undefined ? Number.NaN : elements * DTYPE_BYTES[tensor.dtype];
  if (!Number.isSafeInteger(sizeBytes)) {
    throw new TributaryError('SAFETENSORS_SIZE_MISMATCH', {
      what: 'the tensor is larger than 2^53 bytes',
      where: tensor.name,
      got: `[${tensor.shape.join(', ')}]`,
    });
  }
  return sizeBytes;
}
