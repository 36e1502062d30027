import { TributaryError } from '../errors/tributary-error.js';
import type { LinearAlgebra } from './linear-algebra.js';

export async function createPortableEngine(): Promise<LinearAlgebra> {
  throw new TributaryError('ENGINE_UNAVAILABLE', { what: 'The portable engine is not built yet' });
}
