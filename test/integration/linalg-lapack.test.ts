import { createLapackEngine } from '../../shared/linalg/lapack.js';
import { declareConformance } from '../support/linalg-conformance.js';

declareConformance('lapack', async () =>
  createLapackEngine({ engine: 'lapack', library: '/tmp/lapack-work/scipy_openblas32/lib/libscipy_openblas.so', prefix: 'scipy_' }),
);
