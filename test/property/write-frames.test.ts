import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { WriteFrames } from '../../coordinator/transfers/write-frames.js';
import { WriteRequest } from '../../shared/generated/tributary/v1/transfers.js';
import { frameOf } from '../../shared/transfer/grpc-frame.js';
import { encodeAround, WRITE_HEADER_BYTES } from '../../shared/transfer/write-codec.js';

interface Piece {
  readonly request: WriteRequest;
  readonly data: Buffer;
}

/** Feeds the bytes cut at the given places and joins what comes out. */
function read(bytes: Buffer, cuts: readonly number[]): Piece[] {
  const frames = new WriteFrames();
  const pieces: { request: WriteRequest; dataBytes: number; parts: Buffer[] }[] = [];
  const places = [...new Set(cuts.map((cut) => Math.min(cut, bytes.length)))].sort((a, b) => a - b);
  for (const [index, from] of [0, ...places].entries()) {
    frames.push(bytes.subarray(from, places[index] ?? bytes.length));
    for (let event = frames.next(); event !== undefined; event = frames.next()) {
      if (event.kind === 'request') pieces.push({ request: event.request, dataBytes: event.dataBytes, parts: [] });
      else pieces.at(-1)?.parts.push(Buffer.from(event.data));
    }
  }
  return pieces.map(({ request, dataBytes, parts }) => {
    const data = Buffer.concat(parts);
    expect(data.length).toBe(dataBytes);
    expect(request.data.length).toBe(0);
    return { request, data };
  });
}

function expected(requests: readonly WriteRequest[]): Piece[] {
  return requests.map(({ data, ...rest }) => ({ request: { ...rest, data: Buffer.alloc(0) }, data: Buffer.from(data) }));
}

function same(pieces: readonly Piece[], requests: readonly WriteRequest[]): void {
  const plain = ({ request, data }: Piece) => ({
    uploadId: request.uploadId,
    digest: Buffer.from(request.digest).toString('hex'),
    sizeBytes: request.sizeBytes,
    offset: request.offset,
    data: data.toString('hex'),
  });
  expect(pieces.map(plain)).toEqual(expected(requests).map(plain));
}

const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });
const request: fc.Arbitrary<WriteRequest> = fc.record({
  uploadId: fc.oneof(fc.uuid(), fc.string({ maxLength: 40 }), fc.string({ minLength: 1500, maxLength: 1600 })),
  digest: fc.oneof(fc.uint8Array({ minLength: 32, maxLength: 32 }), bytes(40)),
  sizeBytes: fc.nat({ max: 0xffff_ffff }),
  offset: fc.nat({ max: 0xffff_ffff }),
  data: fc.oneof(bytes(3), bytes(300), fc.uint8Array({ minLength: 1000, maxLength: 5000 })),
});
const uint32 = (value: number): number[] => {
  const out: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...out, rest];
    out.push((rest % 128) + 128);
  }
};
const field = (tag: number, value: Uint8Array): Buffer => Buffer.from([tag, ...uint32(value.length), ...value]);

/** The request with its fields in the order of `order`, some of them unknown. */
function encodeInOrder({ uploadId, digest, sizeBytes, offset, data }: WriteRequest, order: readonly number[]): Buffer {
  const fields = [
    field(0x0a, Buffer.from(uploadId)),
    field(0x12, digest),
    Buffer.from([0x18, ...uint32(sizeBytes)]),
    Buffer.from([0x20, ...uint32(offset)]),
    field(0x2a, data),
    field(0x7a, Buffer.from('from the future')),
    Buffer.from([0x79, 1, 2, 3, 4, 5, 6, 7, 8]),
    Buffer.from([0x70, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
  ];
  return Buffer.concat(order.map((index) => fields[index] as Buffer));
}

describe('frames of Write', () => {
  test('any requests, as the generated encoder writes them, cut anywhere', () => {
    fc.assert(
      fc.property(fc.array(request, { maxLength: 6 }), fc.array(fc.nat({ max: 30_000 }), { maxLength: 12 }), (requests, cuts) => {
        const line = Buffer.concat(requests.map((each) => frameOf(WriteRequest.encode(each).finish())));
        same(read(line, cuts), requests);
      }),
      { numRuns: 500 },
    );
  });

  test('fields in any order, with fields of a later version, cut anywhere', () => {
    const order = fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(request, order, fc.array(fc.nat({ max: 8000 }), { maxLength: 8 }), (each, fieldOrder, cuts) => {
        const message = encodeInOrder(each, fieldOrder);
        same(read(Buffer.concat([frameOf(message), frameOf(message)]), cuts), [each, each]);
      }),
      { numRuns: 500 },
    );
  });

  test('two messages cut at every single byte, and byte by byte', () => {
    const each = { uploadId: 'u-1', digest: new Uint8Array(32).fill(9), sizeBytes: 70_000, offset: 0, data: new Uint8Array(200).fill(7) };
    const line = Buffer.concat([frameOf(WriteRequest.encode(each).finish()), frameOf(encodeInOrder(each, [4, 3, 2, 1, 0]))]);
    for (let cut = 0; cut <= line.length; cut++) same(read(line, [cut]), [each, each]);
    same(read(line, Array.from(line.keys())), [each, each]);
  });

  test('a field that comes twice counts once, the last time', () => {
    const first = { uploadId: 'a', digest: new Uint8Array(1), sizeBytes: 1, offset: 0, data: new Uint8Array(50).fill(1) };
    const last = { ...first, uploadId: 'b', data: new Uint8Array(7).fill(2) };
    const message = Buffer.concat([WriteRequest.encode(first).finish(), WriteRequest.encode(last).finish()]);
    same(read(frameOf(message), [30]), [WriteRequest.decode(message)]);
    same(read(frameOf(message), []), [last]);
  });

  test('empty messages and messages without data', () => {
    const empty = WriteRequest.decode(new Uint8Array(0));
    same(read(Buffer.concat([frameOf(new Uint8Array(0)), frameOf(new Uint8Array(0))]), [3, 7]), [empty, empty]);
    const bare = { ...empty, uploadId: 'x', sizeBytes: 5 };
    same(read(frameOf(WriteRequest.encode(bare).finish()), []), [bare]);
    same(read(frameOf(Buffer.concat([WriteRequest.encode(bare).finish(), Buffer.from([0x2a, 0])])), []), [bare]);
  });

  test('what gRPC forbids', () => {
    const fail = (line: Buffer) => () => read(line, []);
    const flagged = frameOf(WriteRequest.encode(WriteRequest.decode(new Uint8Array(0))).finish());
    flagged[0] = 1;
    expect(fail(flagged)).toThrow(/UNIMPLEMENTED|compressed/);
    expect(fail(Buffer.from([0, 0, 0x40, 0, 1]))).toThrow(/larger than max \(4194305 vs 4194304\)/);
    expect(fail(frameOf(Buffer.from([0x0a, 0x7f, 1])))).toThrow(/deserializing/);
  });

  test('what the client encodes in place is what the generated encoder writes, in its frame', () => {
    fc.assert(
      fc.property(request, (each) => {
        const { data, ...fields } = { ...each, uploadId: each.uploadId.slice(0, 16) };
        const buffer = Buffer.alloc(WRITE_HEADER_BYTES + data.length);
        buffer.set(data, WRITE_HEADER_BYTES);
        const { encoded, frame } = encodeAround(fields, buffer, WRITE_HEADER_BYTES, data.length);
        const generated = WriteRequest.encode({ ...fields, data: data.length === 0 ? Buffer.alloc(0) : data }).finish();
        const decoded = WriteRequest.decode(encoded);
        expect(Buffer.from(WriteRequest.encode(decoded).finish()).equals(Buffer.from(generated))).toBe(true);
        if (data.length > 0) expect(Buffer.from(encoded).equals(Buffer.from(generated))).toBe(true);
        expect(Buffer.from(frame ?? []).equals(frameOf(encoded))).toBe(true);
      }),
    );
  });
});
