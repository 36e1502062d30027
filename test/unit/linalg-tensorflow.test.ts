import { beforeAll, describe, expect, it } from 'vitest';
import type { LinearAlgebra } from '../../shared/linalg/linear-algebra.js';
import { createTensorflowEngine } from '../../shared/linalg/tensorflow.js';
import { loadTensorflowAddon } from '../../shared/linalg/tensorflow-addon.js';
import { probeTensorflow } from '../../shared/linalg/tensorflow-probe.js';
import { expectError } from '../support/expect-error.js';
import { declareConformance } from '../support/linalg-conformance.js';
import { gaussianMatrix, largest, matrixOf, withSingularValues } from '../support/linalg-matrices.js';
import { describeNative } from '../support/native-engine.js';
import { NO_TENSORFLOW, TENSORFLOW } from '../support/tensorflow-here.js';

describeNative('tensorflow', NO_TENSORFLOW, () => {
  declareConformance('tensorflow', () => createTensorflowEngine(TENSORFLOW));

  describe('besides', () => {
    let engine: LinearAlgebra;
    beforeAll(async () => {
      engine = await createTensorflowEngine(TENSORFLOW);
    });

    it('no tensor outlives its call, not even one that fails', async () => {
      const addon = loadTensorflowAddon(TENSORFLOW.packageName);
      const before = addon.getNumOfTensors();
      const a = gaussianMatrix(31, 23, 1);
      const f32 = { ...a, data: new Float32Array(a.data) };
      engine.gemm(f32, f32, { transposeA: true });
      engine.svd(f32);
      engine.singularValues(a);
      engine.qr(f32);
      engine.eigh(engine.gram(f32, 'left'));
      engine.spectrum(a).vectors(7);
      engine.spectrum(matrixOf(40, 30, (row, column) => (row + 1) * (column + 2)));
      engine.choleskySolve(engine.gram(a, 'right'), gaussianMatrix(23, 2, 2));
      const indefinite = matrixOf(3, 3, (row, column) => row - column);
      const error = await expectError('LINALG_FAILED', () => engine.choleskySolve(indefinite, gaussianMatrix(3, 1, 3)));
      expect(error.message).toContain('positive definite');
      const nothing = matrixOf(5, 5, () => Number.NaN);
      await expectError('LINALG_FAILED', () => engine.spectrum(nothing));
      await expectError('LINALG_FAILED', () => engine.gram({ rows: 2, columns: 3, data: new Float64Array(5) }, 'left'));
      expect(addon.getNumOfTensors()).toBe(before);
    });

    it('a spectrum that falls to nothing keeps its sum, and vectors for its small values', () => {
      const values = Array.from({ length: 180 }, (_, index) => (index < 40 ? 2 ** -index : 0));
      const a = withSingularValues(180, 260, values, 5);
      const spectrum = engine.spectrum(a);
      const exact = engine.singularValues(a);
      const sum = (of: Float64Array): number => of.reduce((total, value) => total + value, 0);
      expect(Math.abs(sum(spectrum.values) - sum(exact))).toBeLessThan(1e-9 * sum(exact));
      expect(largest(spectrum.values.map((value, index) => value - (exact[index] as number)))).toBeLessThan(1e-10);
      expect(spectrum.vectors(180).data.every(Number.isFinite)).toBe(true);
    });

    it.each([1e-300, 1e-170, 1e160, 1e300])('takes fp64 numbers of %d, which cannot be squared', (size) => {
      const a = gaussianMatrix(20, 12, 7);
      const scaled = { ...a, data: a.data.map((value) => value * size) };
      const values = engine.spectrum(scaled).values.map((value) => value / size);
      const expected = engine.singularValues(a);
      expect(largest(values.map((value, index) => value - (expected[index] as number)))).toBeLessThan(1e-7);
      expect(largest(engine.singularValues(scaled).map((value, index) => value / size - (expected[index] as number)))).toBeLessThan(1e-12);
    });

    it('takes what is too large for one piece in blocks', () => {
      const length = 2 ** 22 + 5;
      const data = Float32Array.from({ length: 8 * length }, (_, index) => (index % 7) - 3);
      for (const [side, rows, columns] of [
        ['right', length, 8],
        ['left', 8, length],
      ] as const) {
        const { values } = engine.spectrum({ rows, columns, data });
        const squares = data.reduce((total, value) => total + value * value, 0);
        expect(values.reduce((total, value) => total + value * value, 0) / squares).toBeCloseTo(1, 12);
        const gram = engine.gram({ rows, columns, data }, side);
        let corner = 0;
        for (let at = 0; at < length; at += 1) corner += (data[side === 'right' ? 8 * at + 7 : 7 * length + at] as number) ** 2;
        expect(gram.data[63]).toBe(corner);
      }
    });

    it('a device is asked for by name, and one that is not there is refused', async () => {
      const error = await expectError('ENGINE_UNAVAILABLE', () => createTensorflowEngine({ ...TENSORFLOW, device: 'gpu:9' }));
      expect(error.message).toContain('gpu:9');
      expect(error.message).toContain('/device:GPU:9');
      expect((await createTensorflowEngine({ ...TENSORFLOW, device: 'cpu' })).device).toBe('cpu');
    });
  });
});

describe('where there is no TensorFlow', () => {
  it('says so, and how to get it', async () => {
    const error = await expectError('ENGINE_UNAVAILABLE', () =>
      createTensorflowEngine({ engine: 'tensorflow', packageName: '/nowhere', device: 'cpu' }),
    );
    expect(error.message).toContain('npm run setup:tensorflow');
    const found = await probeTensorflow('/nowhere');
    expect('reason' in found ? found.reason : found.packageName).toMatch(/not installed|@tensorflow/);
  });
});
