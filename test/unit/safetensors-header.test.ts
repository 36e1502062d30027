import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../shared/errors/catalogue.js';
import { encodeSafetensorsHeader, parseSafetensorsHeader } from '../../shared/formats/safetensors-header.js';
import { expectError } from '../support/expect-error.js';

function parse(json: string | Uint8Array, dataBytes = 0) {
  const bytes = typeof json === 'string' ? Buffer.from(json) : json;
  return parseSafetensorsHeader(bytes, { fileSizeBytes: 8 + bytes.length + dataBytes, where: 'test.safetensors' });
}

const one = (body: string) => `{"a":{${body}}}`;

describe('parseSafetensorsHeader', () => {
  it('reads tensors in order of offset with absolute offsets', () => {
    const json =
      '{"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]}, "a" : {"shape":[],"dtype":"F32","data_offsets":[0,4]}}  ';
    const { tensors, metadata } = parse(json, 16);
    const start = 8 + json.length;
    expect(tensors).toEqual([
      { name: 'a', dtype: 'F32', shape: [], offset: start, sizeBytes: 4 },
      { name: 'b', dtype: 'BF16', shape: [2, 3], offset: start + 4, sizeBytes: 12 },
    ]);
    expect([...metadata]).toEqual([['format', 'pt']]);
  });

  it('takes tensors without elements and names with escapes', () => {
    const { tensors } = parse(
      '{"\\u0061\\n":{"dtype":"F16","shape":[0,9007199254740991,5],"data_offsets":[0,0]},"z":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
      1,
    );
    expect(tensors.map((tensor) => tensor.name)).toEqual(['a\n', 'z']);
  });

  it('survives __proto__ as a name', () => {
    expect(parse('{"__proto__":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}', 1).tensors[0]?.name).toBe('__proto__');
  });

  const refused: [string, ErrorCode, string | Uint8Array, number?][] = [
    ['no brace first', 'SAFETENSORS_HEADER_INVALID', ' {}'],
    ['an array', 'SAFETENSORS_HEADER_INVALID', '[]'],
    ['nothing', 'SAFETENSORS_HEADER_INVALID', ''],
    ['broken JSON', 'SAFETENSORS_HEADER_INVALID', '{"a":'],
    ['an unfinished string', 'SAFETENSORS_HEADER_INVALID', '{"a'],
    ['an unfinished escape', 'SAFETENSORS_HEADER_INVALID', '{"a\\'],
    ['text after the object', 'SAFETENSORS_HEADER_INVALID', '{}x'],
    ['a trailing comma', 'SAFETENSORS_HEADER_INVALID', '{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},}', 1],
    ['invalid UTF-8', 'SAFETENSORS_HEADER_INVALID', Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)],
    ['a control character in a name', 'SAFETENSORS_HEADER_INVALID', '{"a\n":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}', 1],
    ['a lone surrogate', 'SAFETENSORS_HEADER_INVALID', '{"\\ud800":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}', 1],
    ['an unknown key', 'SAFETENSORS_HEADER_INVALID', one('"dtype":"U8","shape":[],"data_offsets":[0,1],"x":1'), 1],
    ['a missing key', 'SAFETENSORS_HEADER_INVALID', one('"dtype":"U8","shape":[]')],
    ['an unknown dtype', 'SAFETENSORS_HEADER_INVALID', one('"dtype":"F33","shape":[],"data_offsets":[0,1]'), 1],
    ['an inherited property as dtype', 'SAFETENSORS_HEADER_INVALID', one('"dtype":"constructor","shape":[],"data_offsets":[0,1]'), 1],
    ['a dtype narrower than a byte', 'UNSUPPORTED_DTYPE', one('"dtype":"F4","shape":[2],"data_offsets":[0,1]'), 1],
    ['a negative size', 'SAFETENSORS_HEADER_INVALID', one('"dtype":"U8","shape":[-1],"data_offsets":[0,1]'), 1],
    ['a fractional size', 'SAFETENSORS_HEADER_INVALID', one('"dtype":"U8","shape":[1.0],"data_offsets":[0,1]'), 1],
    ['an exponent', 'SAFETENSORS_HEADER_INVALID', one('"dtype":"U8","shape":[1e0],"data_offsets":[0,1]'), 1],
    ['a leading zero', 'SAFETENSORS_HEADER_INVALID', one('"dtype":"U8","shape":[01],"data_offsets":[0,1]'), 1],
    ['a size beyond 2^53', 'SAFETENSORS_HEADER_INVALID', one('"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,1]'), 1],
    [
      'too many dimensions',
      'SAFETENSORS_HEADER_INVALID',
      one(`"dtype":"U8","shape":[${Array(65).fill(1).join(',')}],"data_offsets":[0,1]`),
      1,
    ],
    ['metadata that is no string', 'SAFETENSORS_HEADER_INVALID', '{"__metadata__":{"a":1}}'],
    ['metadata that is no object', 'SAFETENSORS_HEADER_INVALID', '{"__metadata__":"a"}'],
    ['a metadata key twice', 'SAFETENSORS_HEADER_INVALID', '{"__metadata__":{"a":"1","\\u0061":"2"}}'],
    ['a dtype twice', 'SAFETENSORS_HEADER_INVALID', one('"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]'), 1],
    [
      'a name twice',
      'SAFETENSORS_DUPLICATE_NAME',
      '{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[],"data_offsets":[1,2]}}',
      2,
    ],
    [
      'a name twice, once escaped',
      'SAFETENSORS_DUPLICATE_NAME',
      '{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"\\u0061":{"dtype":"U8","shape":[],"data_offsets":[1,2]}}',
      2,
    ],
    ['metadata twice', 'SAFETENSORS_DUPLICATE_NAME', '{"__metadata__":{},"__metadata__":{}}'],
    ['offsets the wrong way round', 'SAFETENSORS_OFFSETS_INVALID', one('"dtype":"U8","shape":[1],"data_offsets":[1,0]'), 1],
    ['one offset only', 'SAFETENSORS_OFFSETS_INVALID', one('"dtype":"U8","shape":[1],"data_offsets":[1]'), 1],
    ['a hole at the start', 'SAFETENSORS_OFFSETS_INVALID', one('"dtype":"U8","shape":[1],"data_offsets":[1,2]'), 2],
    [
      'a hole between',
      'SAFETENSORS_OFFSETS_INVALID',
      '{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[],"data_offsets":[2,3]}}',
      3,
    ],
    [
      'an overlap',
      'SAFETENSORS_OFFSETS_INVALID',
      '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}',
      3,
    ],
    ['bytes after the last tensor', 'SAFETENSORS_OFFSETS_INVALID', one('"dtype":"U8","shape":[1],"data_offsets":[0,1]'), 2],
    ['data cut off', 'SAFETENSORS_TRUNCATED', one('"dtype":"U8","shape":[4],"data_offsets":[0,4]'), 3],
    ['a size that is not the shape', 'SAFETENSORS_SIZE_MISMATCH', one('"dtype":"F32","shape":[2],"data_offsets":[0,4]'), 4],
    [
      'a shape product beyond 2^53',
      'SAFETENSORS_SIZE_MISMATCH',
      one('"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,4]'),
      4,
    ],
  ];
  it.each(refused)('refuses %s', async (_label, code, json, dataBytes) => {
    const error = await expectError(code, () => parse(json, dataBytes));
    expect(error.details.where).toBe('test.safetensors');
  });

  it('refuses 20 MB of nesting and 20 MB of numbers without trouble', async () => {
    await expectError('SAFETENSORS_HEADER_INVALID', () => parse(`{"a":${'['.repeat(20_000_000)}`));
    await expectError('SAFETENSORS_HEADER_INVALID', () => parse(`{"a":{"shape":[${'0,'.repeat(10_000_000)}`));
  });

  it('refuses a header beyond the limit of the format', async () => {
    await expectError('SAFETENSORS_HEADER_TOO_LARGE', () => parse(Buffer.alloc(100_000_001, '{')));
  });
});

describe('encodeSafetensorsHeader', () => {
  it('round-trips 100,000 tiny tensors, aligned to 8 bytes', () => {
    const tensors = Array.from({ length: 100_000 }, (_, index) => ({ name: `t.${index} "é"`, dtype: 'BF16' as const, shape: [1] }));
    const bytes = encodeSafetensorsHeader(tensors, new Map([['format', 'pt']]));
    expect(bytes.length % 8).toBe(0);
    const parsed = parseSafetensorsHeader(bytes.subarray(8), { fileSizeBytes: bytes.length + 200_000, where: 'x' });
    expect(parsed.tensors.every(({ name, dtype }, index) => name === tensors[index]?.name && dtype === 'BF16')).toBe(true);
    expect(Buffer.compare(encodeSafetensorsHeader(parsed.tensors, parsed.metadata), bytes)).toBe(0);
  });
});
