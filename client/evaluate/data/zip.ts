/** Entries of a zip archive on disk: stored or deflated, with or without zip64 (numpy writes both). Read by position, one entry at a time. */
import { open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { inflateRaw } from 'node:zlib';
import { toTributaryError } from '../../../shared/errors/tributary-error.js';
import { refuseData } from './column.js';

export interface ZipEntry {
  readonly name: string;
  readonly method: number;
  readonly packedBytes: number;
  readonly bytes: number;
  /** Of the local header. */
  readonly offset: number;
}

const END_BYTES = 22;
const MAX_COMMENT_BYTES = 65_535;
const LOCATOR_BYTES = 20;
const END64_BYTES = 56;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const SIGNATURE = { end: 0x06054b50, locator: 0x07064b50, end64: 0x06064b50, entry: 0x02014b50, local: 0x04034b50 } as const;
const IN_ZIP64 = 0xffffffff;
const ZIP64_EXTRA = 1;
const STORED = 0;
const DEFLATED = 8;
/** A directory of data files is a few entries; this is room for a million. */
const MAX_DIRECTORY_BYTES = 100_000_000;

const inflate = promisify(inflateRaw);

/** @throws DATA_INVALID, IO_ERROR */
export async function listZip(path: string): Promise<ZipEntry[]> {
  return withFile(path, async (read, sizeBytes) => {
    const tailBytes = Math.min(sizeBytes, END_BYTES + MAX_COMMENT_BYTES);
    const tail = await read(sizeBytes - tailBytes, tailBytes);
    const end = findEnd(tail);
    if (end === undefined) refuseData(path, 'not a zip archive, or one that ends too early');
    let bytes = tail.readUInt32LE(end + 12);
    let offset = tail.readUInt32LE(end + 16);
    let count = tail.readUInt16LE(end + 10);
    const locatorAt = sizeBytes - tailBytes + end - LOCATOR_BYTES;
    if (locatorAt >= 0 && (offset === IN_ZIP64 || bytes === IN_ZIP64 || count === 0xffff)) {
      const locator = await read(locatorAt, LOCATOR_BYTES);
      if (locator.readUInt32LE(0) === SIGNATURE.locator) {
        const record = await read(whole(locator, 8), END64_BYTES);
        expectSignature(record, 0, SIGNATURE.end64);
        count = whole(record, 32);
        bytes = whole(record, 40);
        offset = whole(record, 48);
      }
    }
    if (bytes > MAX_DIRECTORY_BYTES) refuseData(path, 'the directory of the zip archive is too large', { got: `${bytes} bytes` });
    return parseDirectory(await read(offset, bytes), count);
  });
}

/** The end record is last but for a comment, which may hold anything and whose length it says. */
function findEnd(tail: Buffer): number | undefined {
  for (let at = tail.length - END_BYTES; at >= 0; at -= 1) {
    if (tail.readUInt32LE(at) === SIGNATURE.end && at + END_BYTES + tail.readUInt16LE(at + 20) === tail.length) return at;
  }
  return undefined;
}

function parseDirectory(directory: Buffer, count: number): ZipEntry[] {
  const entries: ZipEntry[] = [];
  let at = 0;
  for (let left = count; left > 0; left -= 1) {
    expectSignature(directory, at, SIGNATURE.entry);
    const nameEnd = at + ENTRY_BYTES + directory.readUInt16LE(at + 28);
    const extraEnd = nameEnd + directory.readUInt16LE(at + 30);
    const short = [directory.readUInt32LE(at + 24), directory.readUInt32LE(at + 20), directory.readUInt32LE(at + 42)];
    const [bytes = 0, packedBytes = 0, offset = 0] = longSizes(short, directory.subarray(nameEnd, extraEnd));
    const name = directory.toString('utf8', at + ENTRY_BYTES, nameEnd);
    entries.push({ name, method: directory.readUInt16LE(at + 10), packedBytes, bytes, offset });
    at = extraEnd + directory.readUInt16LE(at + 32);
  }
  return entries;
}

/** Sizes that do not fit in 32 bits stand in an extra field, in this order, only those that are needed. */
function longSizes(short: readonly number[], extra: Buffer): number[] {
  let at = 0;
  while (at + 4 <= extra.length && extra.readUInt16LE(at) !== ZIP64_EXTRA) at += 4 + extra.readUInt16LE(at + 2);
  let next = at + 4;
  return short.map((value) => {
    if (value !== IN_ZIP64 || next + 8 > extra.length) return value;
    next += 8;
    return whole(extra, next - 8);
  });
}

/** The unpacked bytes of one entry. @throws DATA_INVALID, IO_ERROR */
export async function readZipEntry(path: string, entry: ZipEntry): Promise<Buffer> {
  return withFile(path, async (read) => {
    const local = await read(entry.offset, LOCAL_BYTES);
    expectSignature(local, 0, SIGNATURE.local);
    const start = entry.offset + LOCAL_BYTES + local.readUInt16LE(26) + local.readUInt16LE(28);
    const packed = await read(start, entry.packedBytes);
    if (entry.method !== STORED && entry.method !== DEFLATED) {
      refuseData(path, `entry ${entry.name} is packed in a way that is not supported`, {
        expected: 'stored or deflated',
        got: `method ${entry.method}`,
      });
    }
    const unpacked = entry.method === STORED ? packed : await inflate(packed, { maxOutputLength: Math.max(1, entry.bytes) });
    if (unpacked.length !== entry.bytes) throw new RangeError('an entry has another length than the directory says');
    return unpacked;
  });
}

type Read = (offset: number, length: number) => Promise<Buffer>;

async function withFile<T>(path: string, action: (read: Read, sizeBytes: number) => Promise<T>): Promise<T> {
  const handle = await open(path, 'r').catch((error: unknown) => Promise.reject(toTributaryError(error, path)));
  try {
    const { size } = await handle.stat();
    const read: Read = async (offset, length) => {
      if (offset + length > size) throw new RangeError('the archive ends too early');
      const bytes = Buffer.alloc(length);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await handle.read(bytes, filled, length - filled, offset + filled);
        if (bytesRead === 0) throw new RangeError('the archive became shorter');
        filled += bytesRead;
      }
      return bytes;
    };
    return await action(read, size);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof RangeError || code?.startsWith('Z_') === true || code === 'ERR_BUFFER_TOO_LARGE') {
      refuseData(path, 'not a sound zip archive', { got: (error as Error).message });
    }
    throw toTributaryError(error, path);
  } finally {
    await handle.close();
  }
}

function whole(from: Buffer, at: number): number {
  const value = from.readBigUInt64LE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError('a size beyond 2^53');
  return Number(value);
}

function expectSignature(bytes: Buffer, at: number, signature: number): void {
  if (bytes.readUInt32LE(at) !== signature) throw new RangeError('a record does not begin where it should');
}
