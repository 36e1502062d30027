/** Reads the header of a safetensors file on disk; the tensor data itself is never touched here. */
import { open } from 'node:fs/promises';
import { TributaryError, toTributaryError } from '../errors/tributary-error.js';
import { LENGTH_BYTES, MAX_HEADER_BYTES, parseSafetensorsHeader, type SafetensorsTensor } from './safetensors-header.js';

export interface SafetensorsFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** The 8-byte length and the JSON: everything before the first tensor. */
  readonly headerBytes: Uint8Array;
  /** In order of offset. */
  readonly tensors: readonly SafetensorsTensor[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** `PK` (zip: torch >= 1.6), 0x80 and a protocol number (bare pickle), `ustar`-less legacy tars begin with a pickled number too. */
function looksLikePickle(bytes: Uint8Array): boolean {
  const [first = 0, second = 0, third = 0, fourth = 0] = bytes;
  const zip = first === 0x50 && second === 0x4b && third <= 7 && fourth <= 8;
  return zip || (first === 0x80 && second >= 1 && second <= 5);
}

export function refusePickle(path: string): never {
  throw new TributaryError('PICKLE_REFUSED', {
    what: 'a pickle or zip archive, which can execute code when it is loaded',
    where: path,
    expected: 'a safetensors file',
    fix: 'Convert the checkpoint with `model.save_pretrained(..., safe_serialization=True)` on a machine that trusts it.',
  });
}

/** @throws SAFETENSORS_*, PICKLE_REFUSED, UNSUPPORTED_DTYPE, CHECKPOINT_NOT_FOUND, IO_ERROR */
export async function readSafetensorsFile(path: string): Promise<SafetensorsFile> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    const stat = await handle.stat();
    if (!stat.isFile()) throw new TributaryError('CHECKPOINT_NOT_FOUND', { what: 'not a file', where: path });
    const sizeBytes = stat.size;
    const head = new Uint8Array(LENGTH_BYTES + 1);
    const { bytesRead } = await handle.read(head, 0, head.length, 0);
    const lengthBytes = bytesRead < LENGTH_BYTES ? 0n : new DataView(head.buffer).getBigUint64(0, true);
    const plausible = lengthBytes <= BigInt(MAX_HEADER_BYTES) && head[LENGTH_BYTES] === 0x7b;
    if (!plausible && looksLikePickle(head)) refusePickle(path);
    checkLength(lengthBytes, bytesRead, sizeBytes, path);
    const headerBytes = new Uint8Array(LENGTH_BYTES + Number(lengthBytes));
    await readFully(handle, headerBytes, path);
    return {
      path,
      sizeBytes,
      headerBytes,
      ...parseSafetensorsHeader(headerBytes.subarray(LENGTH_BYTES), { fileSizeBytes: sizeBytes, where: path }),
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new TributaryError('CHECKPOINT_NOT_FOUND', { what: 'no such file', where: path }, { cause: error });
    }
    throw toTributaryError(error, path);
  } finally {
    await handle?.close();
  }
}

type FileHandle = Awaited<ReturnType<typeof open>>;

function checkLength(lengthBytes: bigint, bytesRead: number, sizeBytes: number, path: string): void {
  if (bytesRead < LENGTH_BYTES) {
    throw new TributaryError('SAFETENSORS_TRUNCATED', {
      what: 'too short for a safetensors file',
      where: path,
      expected: 'at least 8 bytes',
      got: `${sizeBytes}`,
    });
  }
  if (lengthBytes > BigInt(MAX_HEADER_BYTES)) {
    throw new TributaryError('SAFETENSORS_HEADER_TOO_LARGE', {
      what: 'the header length is beyond the limit, or this is no safetensors file',
      where: path,
      expected: `at most ${MAX_HEADER_BYTES} bytes`,
      got: `${lengthBytes}`,
    });
  }
  if (lengthBytes > BigInt(sizeBytes - LENGTH_BYTES)) {
    throw new TributaryError('SAFETENSORS_TRUNCATED', {
      what: 'the file ends before its header does',
      where: path,
      expected: `${lengthBytes + 8n} bytes or more`,
      got: `${sizeBytes} bytes`,
      fix: 'Copy or download the file again.',
    });
  }
}

async function readFully(handle: FileHandle, into: Uint8Array, path: string): Promise<void> {
  let at = 0;
  while (at < into.length) {
    const { bytesRead } = await handle.read(into, at, into.length - at, at);
    if (bytesRead === 0)
      throw new TributaryError('SAFETENSORS_TRUNCATED', { what: 'the file became shorter while it was read', where: path });
    at += bytesRead;
  }
}
