/**
 * The engine on BLAS and LAPACK. A row-major matrix is the transpose of the column-major one in the same memory, so nothing is ever transposed:
 * a product is taken in the other order, a QR is the LQ of the transpose, and the two sides of an SVD change places.
 */
import { TributaryError } from '../errors/tributary-error.js';
import { choleskySolve, eigh, qr, singularValues, svd } from './lapack-factorisations.js';
import { type LapackChoice, openLapack } from './lapack-library.js';
import { gemm, gram } from './lapack-products.js';
import { lapackSpectrum } from './lapack-spectrum.js';
import type { LinearAlgebra } from './linear-algebra.js';
import { selfTest } from './self-test.js';

/** @throws ENGINE_UNAVAILABLE when the library does not load, or computes wrongly */
export function createLapackEngine(choice: LapackChoice): LinearAlgebra {
  const library = openLapack(choice);
  const engine: LinearAlgebra = {
    engine: 'lapack',
    device: 'cpu',
    library: library.description,
    gemm: (a, b, options) => gemm(library, a, b, options),
    gram: (a, side) => gram(library, a, side),
    svd: (a) => svd(library, a),
    singularValues: (a) => singularValues(library, a),
    eigh: (a) => eigh(library, a),
    choleskySolve: (a, b) => choleskySolve(library, a, b),
    qr: (a) => qr(library, a),
    spectrum: (a) => lapackSpectrum(library, a),
  };
  const wrong = selfTest(engine);
  if (wrong === undefined) return engine;
  throw new TributaryError('ENGINE_UNAVAILABLE', {
    what: `The library computes wrongly: ${wrong}`,
    where: choice.library,
    fix: '`tributary doctor --fix` installs one that does not.',
  });
}
