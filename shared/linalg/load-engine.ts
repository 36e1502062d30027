/** Loads the engine that was chosen, inside of the thread that computes with it. Code of the others is not even read. */
import type { EngineChoice, LinearAlgebra } from './linear-algebra.js';

/** @throws ENGINE_UNAVAILABLE when it does not load, or computes wrongly */
export async function loadEngine(choice: EngineChoice): Promise<LinearAlgebra> {
  switch (choice.engine) {
    case 'lapack':
      return (await import('./lapack.js')).createLapackEngine(choice);
    case 'tensorflow':
      return (await import('./tensorflow.js')).createTensorflowEngine(choice);
    case 'portable':
      return (await import('./portable.js')).createPortableEngine();
  }
}
