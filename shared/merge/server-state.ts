/**
 * The memory of a server optimiser: one safetensors file in F32 beside the model it led to, with `m.NAME` (and `v.NAME`) for every merged
 * tensor. A later round on that model goes on from it. It is the coordinator's own: what is pulled does not have it.
 */
import { existsSync } from 'node:fs';
import { TributaryError } from '../errors/tributary-error.js';
import { readSafetensorsFile } from '../formats/safetensors-file.js';
import type { StoredTensor, TensorMap } from '../formats/tensor.js';

export const SERVER_STATE_FILE = 'server-state.safetensors';

export type ServerOptimizer = 'momentum' | 'adam' | 'yogi';
export type Moment = 'm' | 'v';

export const MOMENTS: Readonly<Record<ServerOptimizer, readonly Moment[]>> = { momentum: ['m'], adam: ['m', 'v'], yogi: ['m', 'v'] };

export interface ServerState {
  readonly optimizer: string;
  /** How many rounds are in it. */
  readonly rounds: number;
  /** By the names that `momentName` gives. */
  readonly tensors: TensorMap;
}

const OPTIMIZER_KEY = 'tributary.server_optimizer';
const ROUNDS_KEY = 'tributary.rounds';

export const momentName = (moment: Moment, tensor: string): string => `${moment}.${tensor}`;

export function stateMetadata(optimizer: ServerOptimizer, rounds: number): ReadonlyMap<string, string> {
  return new Map([
    [OPTIMIZER_KEY, optimizer],
    [ROUNDS_KEY, `${rounds}`],
  ]);
}

/** @returns undefined when there is no such file @throws SAFETENSORS_* when it is damaged */
export async function readServerState(path: string): Promise<ServerState | undefined> {
  if (!existsSync(path)) return undefined;
  const file = await readSafetensorsFile(path);
  const tensors = file.tensors.map(({ name, dtype, shape, sizeBytes, offset }): [string, StoredTensor] => [
    name,
    { name, dtype, shape, sizeBytes, segments: [{ path, offset, length: sizeBytes }] },
  ]);
  return {
    optimizer: file.metadata.get(OPTIMIZER_KEY) ?? '',
    rounds: Number(file.metadata.get(ROUNDS_KEY) ?? 0),
    tensors: new Map(tensors),
  };
}

/** @throws INTERNAL when the state is not of this model */
export function momentOf(
  tensors: TensorMap,
  moment: Moment,
  tensor: { readonly name: string; readonly shape: readonly number[] },
): StoredTensor {
  const found = tensors.get(momentName(moment, tensor.name));
  if (found !== undefined && found.dtype === 'F32' && found.shape.join() === tensor.shape.join()) return found;
  throw new TributaryError('INTERNAL', {
    what: `the server state does not fit tensor ${tensor.name}`,
    expected: `${momentName(moment, tensor.name)} of shape [${tensor.shape.join(', ')}] in F32`,
    got: found === undefined ? 'no such tensor' : `[${found.shape.join(', ')}] in ${found.dtype}`,
  });
}
