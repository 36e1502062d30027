import fc from 'fast-check';
import { expect, it } from 'vitest';
import { peakBytes, type SpectralOperation } from '../../shared/spectral/memory.js';

const OF_MATRICES: readonly SpectralOperation[] = ['addStar', 'starFactors', 'isoC', 'tsvMerge', 'isoCts', 'knots', 'wudiMerge'];

it('memory estimates hold inputs and result at least, and do not fall as matrices get more or larger', () => {
  const size = fc.integer({ min: 1, max: 20_000 });
  fc.assert(
    fc.property(size, size, fc.integer({ min: 1, max: 40 }), (rows, columns, inputs) => {
      for (const operation of OF_MATRICES) {
        const bytes = peakBytes(operation, rows, columns, inputs);
        const held = operation === 'addStar' || operation === 'starFactors' || operation === 'isoC' ? 1 : inputs;
        expect(bytes).toBeGreaterThanOrEqual(4 * (held + 1) * rows * columns);
        // WUDI turns to another way when its tasks have as many rows as columns.
        if (operation !== 'wudiMerge') expect(peakBytes(operation, rows, columns, inputs + 1)).toBeGreaterThanOrEqual(bytes);
      }
      for (const operation of ['addStar', 'isoCts', 'aggregate'] as const) {
        expect(peakBytes(operation, rows + 1, columns, inputs)).toBeGreaterThan(peakBytes(operation, rows, columns, inputs));
        expect(peakBytes(operation, rows, columns + 1, inputs)).toBeGreaterThan(peakBytes(operation, rows, columns, inputs));
      }
    }),
  );
});
