import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { commonRows, decodeElements, rowSize } from '../../client/evaluate/data/column.js';
import { openNpz, parseNpy } from '../../client/evaluate/data/npz.js';
import { openTable } from '../../client/evaluate/data/open-table.js';
import { prepareInput } from '../../client/evaluate/data/prepare-input.js';
import { expectError } from '../support/expect-error.js';
import { tempDir } from '../support/temp-dir.js';

const FOLDER = tempDir();

interface NpyOptions {
  readonly descr: string;
  readonly shape: readonly number[];
  readonly fortran?: boolean;
  readonly version?: 1 | 2;
}

function npy(data: Uint8Array, { descr, shape, fortran = false, version = 1 }: NpyOptions): Buffer {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const header = `{'descr': '${descr}', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': ${tuple}, }\n`;
  const length = Buffer.alloc(version === 1 ? 2 : 4);
  length.writeUIntLE(header.length, 0, length.length);
  return Buffer.concat([Buffer.from('\x93NUMPY', 'latin1'), Buffer.of(version, 0), length, Buffer.from(header, 'latin1'), data]);
}

interface ZipOptions {
  readonly deflated?: boolean;
  /** Sizes and offsets in the extra field, as archives beyond 4 GiB have them. */
  readonly zip64?: boolean;
  readonly comment?: string;
}

/** A zip archive with one entry. */
function zip(name: string, content: Buffer, { deflated = false, zip64 = false, comment = '' }: ZipOptions = {}): Buffer {
  const packed = deflated ? deflateRawSync(content) : content;
  const method = deflated ? 8 : 0;
  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x04034b50, 0);
  local.writeUInt16LE(method, 8);
  local.writeUInt16LE(name.length, 26);
  const extra = Buffer.alloc(zip64 ? 28 : 0);
  if (zip64) {
    extra.writeUInt16LE(1, 0);
    extra.writeUInt16LE(24, 2);
    for (const [index, value] of [content.length, packed.length, 0].entries()) extra.writeBigUInt64LE(BigInt(value), 4 + 8 * index);
  }
  const entry = Buffer.alloc(46);
  entry.writeUInt32LE(0x02014b50, 0);
  entry.writeUInt16LE(method, 10);
  entry.writeUInt32LE(zip64 ? 0xffffffff : packed.length, 20);
  entry.writeUInt32LE(zip64 ? 0xffffffff : content.length, 24);
  entry.writeUInt16LE(name.length, 28);
  entry.writeUInt16LE(extra.length, 30);
  entry.writeUInt32LE(zip64 ? 0xffffffff : 0, 42);
  const body = Buffer.concat([local, Buffer.from(name), packed]);
  const directory = Buffer.concat([entry, Buffer.from(name), extra]);
  const end64 = Buffer.alloc(zip64 ? 76 : 0);
  if (zip64) {
    end64.writeUInt32LE(0x06064b50, 0);
    end64.writeBigUInt64LE(1n, 32);
    end64.writeBigUInt64LE(BigInt(directory.length), 40);
    end64.writeBigUInt64LE(BigInt(body.length), 48);
    end64.writeUInt32LE(0x07064b50, 56);
    end64.writeBigUInt64LE(BigInt(body.length + directory.length), 64);
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(zip64 ? 0xffff : 1, 10);
  end.writeUInt32LE(zip64 ? 0xffffffff : directory.length, 12);
  end.writeUInt32LE(zip64 ? 0xffffffff : body.length, 16);
  end.writeUInt16LE(comment.length, 20);
  return Buffer.concat([body, directory, end64, end, Buffer.from(comment)]);
}

let files = 0;
function write(bytes: Uint8Array, extension = 'npz'): string {
  files += 1;
  const path = join(FOLDER, `data-${files}.${extension}`);
  writeFileSync(path, bytes);
  return path;
}

const halves = npy(new Uint8Array(Uint16Array.of(0x3c00, 0xc000, 0x3555, 0x0001, 0x7c00).buffer), { descr: '<f2', shape: [5] });

describe('npz archives', () => {
  it.each([{}, { deflated: true }, { zip64: true }, { zip64: true, deflated: true }, { comment: 'PK\x05\x06 is no end' }])(
    'with %o are read',
    async (options) => {
      const table = await openNpz(write(zip('half.npy', halves, options)));
      expect(table.names).toEqual(['half']);
      const { shape, values } = await table.read('half');
      expect(shape).toEqual([5]);
      // Hand-checked: 1, -2, 0x3555 = (1 + 341/1024) / 4, the smallest subnormal, infinity.
      expect([...values]).toEqual([1, -2, (1 + 341 / 1024) / 4, 2 ** -24, Number.POSITIVE_INFINITY]);
    },
  );

  it('that are damaged are refused, wherever the damage is', async () => {
    const whole = zip('half.npy', halves, { deflated: true });
    for (let length = 0; length < whole.length; length += 1) {
      await expectError('DATA_INVALID', async () => (await openNpz(write(whole.subarray(0, length)))).read('half'));
    }
    const bomb = zip('half.npy', Buffer.alloc(100_000), { deflated: true });
    const at = bomb.indexOf(Buffer.of(0x50, 0x4b, 0x01, 0x02));
    bomb.writeUInt32LE(50, at + 24);
    await expectError('DATA_INVALID', async () => (await openNpz(write(bomb))).read('half'));
  });
});

describe('npy arrays', () => {
  it('in either order of axes and bytes are the same values', () => {
    const shapes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(shapes, fc.boolean(), fc.boolean(), fc.constantFrom<1 | 2>(1, 2), (shape, fortran, big, version) => {
        const count = shape.reduce((product, size) => product * size, 1);
        const bytes = Buffer.alloc(4 * count);
        for (let index = 0; index < count; index += 1) {
          // Position of row-major element `index` in the file.
          let rest = index;
          const place = shape.map(() => 0);
          for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
            place[axis] = rest % (shape[axis] as number);
            rest = Math.floor(rest / (shape[axis] as number));
          }
          const axes = fortran ? [...shape.keys()].reverse() : [...shape.keys()];
          const at = axes.reduce((sum, axis) => sum * (shape[axis] as number) + (place[axis] as number), 0);
          if (big) bytes.writeInt32BE(index, 4 * at);
          else bytes.writeInt32LE(index, 4 * at);
        }
        const column = parseNpy(npy(bytes, { descr: big ? '>i4' : '<i4', shape, fortran, version }), 'a', 'test');
        expect(column.shape).toEqual(shape);
        expect([...column.values]).toEqual(Array.from({ length: count }, (_, index) => index));
      }),
    );
  });

  it.each([
    ['objects', npy(new Uint8Array(8), { descr: '|O', shape: [1] }), 'pickle'],
    ['text', npy(new Uint8Array(8), { descr: '<U2', shape: [1] }), '<U2'],
    ['complex numbers', npy(new Uint8Array(8), { descr: '<c8', shape: [1] }), '<c8'],
    ['too few bytes', npy(new Uint8Array(8), { descr: '<f4', shape: [3] }), 'expected 12 bytes'],
    ['something else', Buffer.from('not numpy at all'), 'not an .npy file'],
  ])('of %s are refused', async (_name, bytes, part) => {
    expect((await expectError('DATA_INVALID', () => parseNpy(bytes, 'a', 'test'))).message).toContain(part);
  });
});

describe('columns', () => {
  it('are decoded from bytes at any address', () => {
    const shifted = Buffer.concat([Buffer.alloc(3), Buffer.from(Float64Array.of(1.5, -2.5).buffer)]).subarray(3);
    expect([...decodeElements(shifted, 'f64')]).toEqual([1.5, -2.5]);
    expect([...decodeElements(new Uint8Array(Uint16Array.of(0x3f80, 0xc020).buffer), 'bf16')]).toEqual([1, -2.5]);
    expect([...decodeElements(Uint8Array.of(0xff, 0x01), 'i8')]).toEqual([-1, 1]);
  });

  it('become what a model wants, or are refused', async () => {
    const column = { name: 'c', shape: [2, 4], values: Float64Array.of(0, 1, 2, 3, 4, 5, 6, 255) };
    const image = prepareInput({ name: 'x', type: 'uint8', shape: ['n', 1, 2, 2] }, column, 'test');
    expect(image).toMatchObject({ rows: 2, shape: [1, 2, 2], values: Uint8Array.from(column.values) });
    expect(prepareInput({ name: 'x', type: 'int64', shape: ['n', 't'] }, column, 'test').values).toEqual(
      BigInt64Array.from([0n, 1n, 2n, 3n, 4n, 5n, 6n, 255n]),
    );
    expect(prepareInput({ name: 'x', type: 'float32', shape: [2, 4] }, column, 'test').batch).toBe(2);
    for (const [type, shape] of [
      ['int8', ['n', 4]],
      ['float32', ['n', 5]],
      ['float32', []],
      ['string', ['n', 4]],
    ] as const) {
      await expectError('DATA_INVALID', () => prepareInput({ name: 'x', type, shape }, column, 'test'));
    }
    await expectError('DATA_INVALID', () =>
      prepareInput({ name: 'x', type: 'int32', shape: ['n'] }, { ...column, shape: [1], values: Float32Array.of(0.5) }, 'test'),
    );
    expect(rowSize(column)).toBe(4);
  });

  it('have as many rows as the others', async () => {
    expect(
      commonRows(
        [
          { name: 'a', rows: 3 },
          { name: 'b', rows: 3 },
        ],
        'test',
      ),
    ).toBe(3);
    await expectError('DATA_INVALID', () =>
      commonRows(
        [
          { name: 'a', rows: 3 },
          { name: 'b', rows: 2 },
        ],
        'test',
      ),
    );
    await expectError('DATA_INVALID', () => commonRows([{ name: 'a', rows: 0 }], 'test'));
  });

  it('come from files of known kinds that are there', async () => {
    await expectError('DATA_INVALID', () => openTable('data.csv'));
    await expectError('DATA_INVALID', () => openTable(write(Buffer.from('PAR1 nothing PAR1'), 'parquet')));
    await expectError('IO_ERROR', () => openTable(join(FOLDER, 'absent.parquet')));
    await expectError('IO_ERROR', () => openTable(join(FOLDER, 'absent.npz')));
    await expectError('CHECKPOINT_NOT_FOUND', () => openTable(join(FOLDER, 'absent.safetensors')));
  });
});
