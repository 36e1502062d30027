/**
 * numpy's .npz (a zip of .npy files) as a table of columns. Object arrays are pickles and are refused.
 * Format: numpy.lib.format, versions 1.0 to 3.0.
 */
import { type Column, decodeElements, type ElementKind, type NumericArray, refuseData, type Table, widthOf } from './column.js';
import { listZip, readZipEntry } from './zip.js';

const MAGIC = Buffer.from('\x93NUMPY', 'latin1');
const KINDS: Readonly<Record<string, ElementKind>> = {
  b1: 'bool',
  u1: 'u8',
  i1: 'i8',
  u2: 'u16',
  i2: 'i16',
  u4: 'u32',
  i4: 'i32',
  u8: 'u64',
  i8: 'i64',
  f2: 'f16',
  f4: 'f32',
  f8: 'f64',
};

/** @throws DATA_INVALID, IO_ERROR */
export async function openNpz(path: string): Promise<Table> {
  const entries = (await listZip(path)).filter(({ name }) => name.endsWith('.npy'));
  const byName = new Map(entries.map((entry) => [entry.name.slice(0, -4), entry]));
  return {
    path,
    names: [...byName.keys()],
    read: async (name) => {
      const entry = byName.get(name);
      if (entry === undefined) refuseData(path, `no array ${name}`);
      return parseNpy(await readZipEntry(path, entry), name, path);
    },
  };
}

/** One .npy file. @throws DATA_INVALID */
export function parseNpy(bytes: Buffer, name: string, path: string): Column {
  const where = `${path}: ${name}`;
  const major = bytes[6] ?? 0;
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC) || major < 1 || major > 3 || bytes.length < 12) refuseData(where, 'not an .npy file');
  const lengthBytes = major === 1 ? 2 : 4;
  const headerStart = 8 + lengthBytes;
  const start = headerStart + bytes.readUIntLE(8, lengthBytes);
  const header = bytes.toString(major === 3 ? 'utf8' : 'latin1', headerStart, start);
  const { kind, bigEndian } = elementOf(header, where);
  const shape = shapeOf(header, where);
  const fortran = /'fortran_order'\s*:\s*(True|False)/.exec(header)?.[1];
  if (fortran === undefined) refuseData(where, 'the header of the array does not say its order', { got: header.trim() });
  const count = shape.reduce((product, size) => product * size, 1);
  const data = bytes.subarray(start);
  if (data.length !== count * widthOf(kind)) {
    refuseData(where, 'the array has another size than its header says', {
      expected: `${count * widthOf(kind)} bytes for [${shape.join(', ')}]`,
      got: `${data.length} bytes`,
    });
  }
  const values = decodeElements(data, kind, bigEndian);
  return { name, shape, values: fortran === 'True' && shape.length > 1 ? toRowMajor(values, shape) : values };
}

function elementOf(header: string, where: string): { kind: ElementKind; bigEndian: boolean } {
  const [, order, code = ''] = /'descr'\s*:\s*'([<>|=])([a-zA-Z]\d*)'/.exec(header) ?? [];
  const kind = KINDS[code];
  if (kind !== undefined) return { kind, bigEndian: order === '>' };
  if (code.startsWith('O'))
    refuseData(where, 'an array of Python objects is a pickle, which can execute code', { expected: 'an array of numbers' });
  const got = /'descr'\s*:\s*(.{1,60})/.exec(header)?.[1] ?? header.slice(0, 60);
  refuseData(where, 'the array is not of numbers that can be read', { expected: Object.keys(KINDS).join(', '), got });
}

function shapeOf(header: string, where: string): number[] {
  const inside = /'shape'\s*:\s*\(([\d,\sL]*)\)/.exec(header)?.[1];
  if (inside === undefined) refuseData(where, 'the header of the array has no shape', { got: header.trim() });
  return [...inside.matchAll(/\d+/g)].map(([digits]) => Number(digits));
}

/** Fortran order: the first index runs fastest. */
function toRowMajor(values: NumericArray, shape: readonly number[]): NumericArray {
  const moved = values.slice();
  const strides: number[] = [];
  let stride = 1;
  for (const size of shape) {
    strides.push(stride);
    stride *= size;
  }
  const index = shape.map(() => 0);
  let from = 0;
  for (let to = 0; to < values.length; to += 1) {
    moved[to] = values[from] as number & bigint;
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      const next = (index[axis] as number) + 1;
      from += strides[axis] as number;
      if (next < (shape[axis] as number)) {
        index[axis] = next;
        break;
      }
      from -= next * (strides[axis] as number);
      index[axis] = 0;
    }
  }
  return moved;
}
