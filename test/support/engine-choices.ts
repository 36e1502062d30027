/** The linear algebra engines that tests run on. */
import type { EngineChoice } from '../../shared/linalg/linear-algebra.js';

export function engineChoices(): EngineChoice[] {
  return [{ engine: 'lapack', library: '/tmp/la/scipy_openblas32/lib/libscipy_openblas.so', prefix: 'scipy_' }];
}
