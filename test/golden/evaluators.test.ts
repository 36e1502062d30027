/**
 * Data files and a graph that numpy, pyarrow, safetensors and onnx wrote (evaluators/generate.py), with values that its lines fix; and what
 * lm-evaluation-harness 0.4.13 left of a tiny random Llama (hf, two multiple_choice tasks of 120 questions), its machine and paths left out.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readColumn } from '../../client/evaluate/data/column.js';
import { openTable } from '../../client/evaluate/data/open-table.js';
import { findLastJson } from '../../client/evaluate/find-json.js';
import { openEvaluator } from '../../client/evaluate/open-evaluator.js';
import { readMetrics } from '../../client/evaluate/read-metrics.js';
import { evaluationJob, evaluatorConfig } from '../support/evaluation-job.js';
import { expectError } from '../support/expect-error.js';
import { tempDir } from '../support/temp-dir.js';

const GOLDEN = fileURLToPath(new URL('../../../test/golden/evaluators/', import.meta.url));
const LOGS = tempDir();

const ROWS = 5;
const X = Array.from({ length: ROWS * 3 }, (_, index) => index / 4 - 1);
const LABELS = [0, 1, 2, 1, 0];

async function column(file: string, name: string) {
  const { shape, values } = await readColumn(await openTable(`${GOLDEN}${file}`), name);
  return { shape, values: [...values] };
}

describe.each(['plain.npz', 'packed.npz', 'data.safetensors'])('%s', (file) => {
  it('has its columns', async () => {
    const names = ['x', 'x_fortran', 'x_double', 'x_half', ...(file.endsWith('npz') ? ['x_big'] : [])];
    for (const name of names) expect(await column(file, name), name).toEqual({ shape: [ROWS, 3], values: X });
    expect(await column(file, 'cube')).toEqual({ shape: [ROWS, 2, 3], values: Array.from({ length: 30 }, (_, index) => index) });
    expect(await column(file, 'label')).toEqual({ shape: [ROWS], values: LABELS.map(BigInt) });
    expect(await column(file, 'small')).toEqual({ shape: [ROWS], values: LABELS });
    expect(await column(file, 'flag')).toEqual({ shape: [ROWS], values: [0, 1, 1, 1, 0] });
    expect((await column(file, 'large')).values).toEqual([2n ** 53n + 1n, -(2n ** 62n), 0n, 1n, -1n]);
  });

  it('says what it has instead of what it lacks', async () => {
    expect((await expectError('DATA_INVALID', () => column(file, 'nothing'))).message).toContain('x_double');
  });
});

describe.each(['snappy.parquet', 'zstd.parquet'])('%s', (file) => {
  it('has its columns', async () => {
    for (const name of ['x', 'x_list']) expect(await column(file, name), name).toEqual({ shape: [ROWS, 3], values: X });
    expect(await column(file, 'image')).toEqual({ shape: [ROWS, 2, 2], values: Array.from({ length: 20 }, (_, index) => index) });
    expect(await column(file, 'label')).toEqual({ shape: [ROWS], values: LABELS.map(BigInt) });
    expect(await column(file, 'small')).toEqual({ shape: [ROWS], values: LABELS });
    expect(await column(file, 'score')).toEqual({ shape: [ROWS], values: X.filter((_, index) => index % 3 === 0) });
    expect(await column(file, 'flag')).toEqual({ shape: [ROWS], values: [0, 1, 1, 1, 0] });
  });
});

describe('results of lm-evaluation-harness', () => {
  /** As `--output_path` left it, and read as a command's output is. */
  const read = (task: string, metric: string, lmTask?: string) => {
    const { document } = findLastJson(readFileSync(`${GOLDEN}lm-eval-0.4.13.json`, 'utf8'));
    if (document === undefined) throw new Error('no document');
    return readMetrics(document, { task, metric, lmTask, where: 'the fixture' });
  };

  it('have metrics with their standard errors and counts', () => {
    expect(read('code', 'acc', 'tiny_code')).toMatchObject({
      value: 0.48333333333333334,
      standardError: 0.045809453927047654,
      count: 120,
      metrics: { 'acc_norm,none': 0.48333333333333334, sample_len: 120 },
    });
    expect(read('tiny_legal', 'acc_norm')).toMatchObject({ value: 1, standardError: 0, count: 120 });
  });

  it('of several tasks say which to choose from', async () => {
    expect((await expectError('EVALUATION_FAILED', () => read('law', 'acc'))).message).toContain('tiny_legal, tiny_code');
  });
});

describe('columns that are no numbers of one shape', () => {
  it.each([
    ['snappy.parquet', 'ragged', 'another length'],
    ['snappy.parquet', 'missing', 'null'],
    ['snappy.parquet', 'text', 'no number'],
    ['objects.npz', 'bad', 'pickle'],
    ['objects.npz', 'text', '<U1'],
  ])('are refused: %s %s', async (file, name, part) => {
    expect((await expectError('DATA_INVALID', () => column(file, name))).message).toContain(part);
  });
});

describe('a graph of onnx with external data of its own', () => {
  const evaluate = async (metric: string, candidate: string, more: object = {}) => {
    const onnx = { graph: 'model.onnx', data: 'packed.npz', label: 'label', weights: { 'net.*': '*' }, batch: 2, ...more };
    const evaluator = await openEvaluator('t', evaluatorConfig({ onnx, retries: 0 }), { folder: GOLDEN });
    const job = evaluationJob(LOGS, { folder: `${GOLDEN}${candidate}`, metric });
    return { outcome: await evaluator.evaluate(job), log: readFileSync(job.logFile, 'utf8') };
  };
  /** What generate.py prints. */
  const SCORES = [
    [2.311659812927246, 0.7396212816238403, 0.09184162318706512],
    [2.7731950283050537, 0.6350935101509094, -0.6777207851409912],
    [8.980134963989258, -2.227440357208252, -6.842922687530518],
    [16.52513885498047, -6.021353721618652, -14.630437850952148],
    [24.07014274597168, -9.815266609191895, -22.417953491210938],
  ];
  const OWN = [1.2083570957183838, 0.3945462107658386, 0.3071846067905426];
  const meanLoss = (rows: readonly (readonly number[])[]): number =>
    rows.reduce((sum, row, index) => {
      const total = row.reduce((inner, score) => inner + Math.exp(score), 0);
      return sum + Math.log(total) - (row[LABELS[index] as number] as number);
    }, 0) / rows.length;

  it('computes what numpy computes with the weights of the candidate', async () => {
    const { outcome, log } = await evaluate('accuracy', 'candidate');
    expect(outcome).toMatchObject({ value: 2 / 5, count: 5 });
    expect((await evaluate('loss', 'candidate')).outcome.value).toBeCloseTo(meanLoss(SCORES), 5);
    expect(log).toContain('3 initializers');
    expect(log).toContain("1 keep the graph's own: own");
  });

  it('keeps its own where the candidate has none', async () => {
    const { outcome } = await evaluate('loss', 'zeros');
    expect(outcome.value).toBeCloseTo(meanLoss(LABELS.map(() => OWN)), 6);
  });

  it.each(['data.safetensors', 'snappy.parquet', 'zstd.parquet'])('reads the same from %s', async (data) => {
    const inputs = { x: 'x' };
    expect((await evaluate('loss', 'candidate', { data, inputs })).outcome).toEqual((await evaluate('loss', 'candidate')).outcome);
  });
});
