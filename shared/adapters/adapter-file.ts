/** Puts an adapter's weights together from where they lie: one safetensors file, header first, tensors copied piece by piece. */
import { open } from 'node:fs/promises';
import { TributaryError } from '../errors/tributary-error.js';
import { encodeSafetensorsHeader } from '../formats/safetensors-header.js';
import { DTYPE_BYTES, type Segment, type TensorInfo } from '../formats/tensor.js';
import { interrupted } from '../workers/pool.js';

export interface PlacedTensor {
  readonly info: TensorInfo;
  readonly segments: readonly Segment[];
}

const PIECE_BYTES = 4 * 1024 * 1024;
const METADATA: ReadonlyMap<string, string> = new Map([['format', 'pt']]);

/** @param signal ends it between pieces. @returns the size in bytes. @throws INTERRUPTED, SAFETENSORS_TRUNCATED, system errors as they are */
export async function writeAdapterFile(path: string, tensors: readonly PlacedTensor[], signal?: AbortSignal): Promise<number> {
  // Wider dtypes first, so that every tensor is aligned to its width.
  const ordered = tensors.toSorted((a, b) => DTYPE_BYTES[b.info.dtype] - DTYPE_BYTES[a.info.dtype]);
  const header = encodeSafetensorsHeader(
    ordered.map(({ info }) => info),
    METADATA,
  );
  const file = await open(path, 'w');
  const piece = Buffer.allocUnsafe(PIECE_BYTES);
  let end = 0;
  const write = async (bytes: Uint8Array): Promise<void> => {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, end);
      done += bytesWritten;
      end += bytesWritten;
    }
  };
  const copy = async ({ path: from, offset, length }: Segment): Promise<void> => {
    const source = await open(from, 'r');
    try {
      for (let done = 0; done < length; ) {
        if (signal?.aborted === true) throw interrupted(signal);
        const { bytesRead } = await source.read(piece, 0, Math.min(PIECE_BYTES, length - done), offset + done);
        if (bytesRead === 0)
          throw new TributaryError('SAFETENSORS_TRUNCATED', { what: 'a file became shorter while it was read', where: from });
        await write(piece.subarray(0, bytesRead));
        done += bytesRead;
      }
    } finally {
      await source.close();
    }
  };
  try {
    await write(header);
    for (const { segments } of ordered) for (const segment of segments) await copy(segment);
    return end;
  } finally {
    await file.close();
  }
}
