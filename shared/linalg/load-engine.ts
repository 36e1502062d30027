/** Loads the engine that was chosen, inside of the thread that computes with it. */
import { TributaryError } from '../errors/tributary-error.js';
import type { EngineChoice, LinearAlgebra } from './linear-algebra.js';

/** @throws ENGINE_UNAVAILABLE */
export async function loadEngine(choice: EngineChoice): Promise<LinearAlgebra> {
  if (choice.engine === 'lapack') return (await import('./lapack.js')).createLapackEngine(choice);
  throw new TributaryError('INTERNAL', { what: `${choice.engine} is not built yet` });
}
