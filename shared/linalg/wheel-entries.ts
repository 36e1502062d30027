/** Reads files out of a wheel, which is a zip archive. Only what wheels use: stored and deflated entries, no zip64, no encryption. */
import { inflateRawSync } from 'node:zlib';
import { TributaryError } from '../errors/tributary-error.js';

const END_SIGNATURE = 0x06054b50;
const END_BYTES = 22;
const ENTRY_SIGNATURE = 0x02014b50;
const ENTRY_BYTES = 46;
const LOCAL_SIGNATURE = 0x04034b50;
const LOCAL_BYTES = 30;
const STORED = 0;
const DEFLATED = 8;

interface Entry {
  readonly name: string;
  readonly method: number;
  readonly packedBytes: number;
  readonly bytes: number;
  readonly offset: number;
}

/** The contents of the entries whose names `wanted` accepts. @throws ENGINE_UNAVAILABLE when it is no sound archive */
export function readWheelEntries(archive: Buffer, wanted: (name: string) => boolean): ReadonlyMap<string, Buffer> {
  try {
    return new Map(
      directory(archive)
        .filter(({ name }) => wanted(name))
        .map((entry) => [entry.name, contents(archive, entry)]),
    );
  } catch (error) {
    if (!(error instanceof RangeError) && (error as NodeJS.ErrnoException).code === undefined) throw error;
    throw new TributaryError('ENGINE_UNAVAILABLE', { what: 'The wheel is not a sound zip archive' }, { cause: error });
  }
}

function directory(archive: Buffer): Entry[] {
  // The end record is last but for a comment, which wheels do not have.
  const end = archive.lastIndexOf(Buffer.of(0x50, 0x4b, 0x05, 0x06));
  if (end < 0 || archive.length - end < END_BYTES) throw new RangeError('no directory');
  expectSignature(archive, end, END_SIGNATURE);
  const entries: Entry[] = [];
  let at = archive.readUInt32LE(end + 16);
  for (let count = archive.readUInt16LE(end + 10); count > 0; count -= 1) {
    expectSignature(archive, at, ENTRY_SIGNATURE);
    const nameBytes = archive.readUInt16LE(at + 28);
    entries.push({
      name: archive.toString('utf8', at + ENTRY_BYTES, at + ENTRY_BYTES + nameBytes),
      method: archive.readUInt16LE(at + 10),
      packedBytes: archive.readUInt32LE(at + 20),
      bytes: archive.readUInt32LE(at + 24),
      offset: archive.readUInt32LE(at + 42),
    });
    at += ENTRY_BYTES + nameBytes + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32);
  }
  return entries;
}

function contents(archive: Buffer, { method, packedBytes, bytes, offset }: Entry): Buffer {
  expectSignature(archive, offset, LOCAL_SIGNATURE);
  const start = offset + LOCAL_BYTES + archive.readUInt16LE(offset + 26) + archive.readUInt16LE(offset + 28);
  const packed = archive.subarray(start, start + packedBytes);
  if (method !== STORED && method !== DEFLATED) throw new RangeError(`compression method ${method}`);
  const unpacked = method === STORED ? packed : inflateRawSync(packed, { maxOutputLength: Math.max(1, bytes) });
  if (unpacked.length !== bytes) throw new RangeError('an entry ends too early');
  return unpacked;
}

function expectSignature(archive: Buffer, at: number, signature: number): void {
  if (archive.readUInt32LE(at) !== signature) throw new RangeError('a record does not begin where it should');
}
