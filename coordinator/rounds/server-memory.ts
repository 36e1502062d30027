/** What a server optimiser remembers of the rounds that led to a base: the state beside that model, if it is of the same optimiser. */
import { join } from 'node:path';
import { readServerState, SERVER_STATE_FILE, type ServerOptimizer, type ServerState } from '../../shared/merge/server-state.js';
import type { ModelRow } from '../models/model-store.js';
import { MODELS_DIR } from '../models/publish.js';
import type { Services } from '../services.js';

export interface ServerMemory {
  /** Undefined: the moments begin at zero. */
  readonly state: ServerState | undefined;
  /** For the model card. */
  readonly words: string;
}

/** @throws SAFETENSORS_* when the state is damaged */
export async function serverStateOf(services: Services, base: ModelRow, optimizer: ServerOptimizer): Promise<ServerMemory> {
  const state =
    base.origin === 'round' ? await readServerState(join(services.config.data, MODELS_DIR, base.name, SERVER_STATE_FILE)) : undefined;
  if (state?.optimizer === optimizer) {
    const { rounds } = state;
    return { state, words: `${optimizer}, round ${rounds + 1}: its moments go on from those of ${base.name}` };
  }
  const why = state === undefined ? `${base.name} has no server state` : `the server state of ${base.name} is of ${state.optimizer}`;
  return { state: undefined, words: `${optimizer}, round 1: its moments began at zero, since ${why}` };
}
