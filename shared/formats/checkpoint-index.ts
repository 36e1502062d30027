/** The index of a sharded checkpoint (`model.safetensors.index.json`): which tensor lies in which file. */
import { readFile } from 'node:fs/promises';
import { TributaryError, toTributaryError } from '../errors/tributary-error.js';
import { expectEnd, type JsonCursor, quoteForMessage, readObject, readString, StrictJsonError, skipValue } from './strict-json.js';

/** An index names every tensor once; 64 MiB is room for half a million. */
const MAX_INDEX_BYTES = 64 * 1024 * 1024;

export interface CheckpointIndex {
  /** Tensor name to file name, in the order of the file. */
  readonly weightMap: ReadonlyMap<string, string>;
}

function refuse(where: string, what: string): never {
  throw new TributaryError('CHECKPOINT_INDEX_INVALID', { what, where });
}

/** Pure part of `readCheckpointIndex`. File names are plain: an index cannot point out of its folder. */
export function parseCheckpointIndex(text: string, where: string): CheckpointIndex {
  const cursor: JsonCursor = { text, at: 0 };
  const weightMap = new Map<string, string>();
  let found = false;
  try {
    readObject(cursor, (key) => {
      if (key !== 'weight_map') {
        skipValue(cursor);
        return;
      }
      found = true;
      readObject(cursor, (name) => {
        const file = readString(cursor);
        if (!/^[^/\\\0]+\.safetensors$/.test(file))
          throw new StrictJsonError(`${quoteForMessage(file)} is not the name of a safetensors file`, cursor.at);
        weightMap.set(name, file);
      });
    });
    expectEnd(cursor);
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    refuse(where, `the index cannot be used: ${error.message}`);
  }
  if (!found) refuse(where, 'the index has no weight_map');
  if (weightMap.size === 0) refuse(where, 'the index names no tensor');
  return { weightMap };
}

export async function readCheckpointIndex(path: string): Promise<CheckpointIndex> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw toTributaryError(error, path);
  }
  if (bytes.length > MAX_INDEX_BYTES) refuse(path, `the index is larger than ${MAX_INDEX_BYTES} bytes`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    refuse(path, 'the index is not valid UTF-8');
  }
  return parseCheckpointIndex(text, path);
}

/** The index of a new sharded checkpoint, as Hugging Face writes it. `totalSizeBytes` counts tensor bytes only. */
export function encodeCheckpointIndex(weightMap: ReadonlyMap<string, string>, totalSizeBytes: number): string {
  const sorted = [...weightMap].sort(([a], [b]) => (a < b ? -1 : 1));
  return `${JSON.stringify({ metadata: { total_size: totalSizeBytes }, weight_map: Object.fromEntries(sorted) }, undefined, 2)}\n`;
}
