/**
 * Any LayersModel as an evaluator: its topology is read once, its weights are set from the candidate's tensors by name for every evaluation. Data is
 * read once and kept in the type and shape of the model's inputs; no tensor stays behind between evaluations but the model's own weights.
 */
import { appendFile, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type * as tfjs from '@tensorflow/tfjs-core';
import { TributaryError, toTributaryError } from '../../../shared/errors/tributary-error.js';
import { openCheckpoint } from '../../../shared/formats/checkpoint.js';
import type { StoredTensor, TensorMap } from '../../../shared/formats/tensor.js';
import { Semaphore } from '../../../shared/util/semaphore.js';
import { openBackend, type Tensorflow } from '../../train/backend.js';
import { commonRows, decodeElements, type ElementKind, readColumn, refuseData, rowsOf, type Table } from '../data/column.js';
import { openTable } from '../data/open-table.js';
import { type PreparedInput, prepareInput } from '../data/prepare-input.js';
import { readRange } from '../data/safetensors.js';
import type { EvaluationJob, Evaluator } from '../evaluator.js';
import { createMeasure, isMeasureName, MEASURE_NAMES, type Measure, needsLabels } from '../measures.js';
import { throwIfStopped } from '../retrying.js';
import { someNames, tensorNameOf, transposeBytes } from '../weight-names.js';
import type { LayersConfig } from './config.js';
import { type LayersModel, type LayerWeight, loadLayersPackage } from './layers-package.js';

const FLOATS: Readonly<Record<string, ElementKind>> = { F32: 'f32', F16: 'f16', BF16: 'bf16' };
const FLOAT_BYTES = 4;

interface Prepared {
  readonly rows: number;
  readonly inputs: readonly PreparedInput[];
  readonly labels?: Float64Array | undefined;
}

/** @throws EVALUATOR_UNAVAILABLE, DATA_INVALID, CONFIG_INVALID, IO_ERROR */
export async function openLayersEvaluator(task: string, config: LayersConfig, folder: string): Promise<Evaluator> {
  const backend = await openBackend(config.backend);
  const modelPath = resolve(folder, config.model);
  const model = await openModel(backend.tf, modelPath);
  const table = await openTable(resolve(folder, config.data));
  const prepared = await prepare(model, config, table);
  let said = false;
  // The model has one set of weights: evaluations take turns.
  const turn = new Semaphore(1);
  return {
    name: `tfjs of task ${task} on ${backend.backend}`,
    evaluate: async (job) => {
      const name = metricOf(config, job);
      const { tensors } = await openCheckpoint(job.folder);
      const done = await turn.acquire();
      try {
        const { unused } = await setWeights(backend.tf, model, tensors, config, { candidate: job.folder, modelPath });
        if (!said && unused.length > 0) {
          await appendFile(job.logFile, `${unused.length} tensors of the candidate are not in the model: ${unused.join(', ')}\n`);
        }
        said = true;
        const measure = createMeasure(name, { ...config, where: modelPath });
        await run(backend.tf, model, prepared, config.batch, measure, job);
        const { value, count, standardError } = measure.result();
        return { value, count, standardError, metrics: { [name]: value } };
      } finally {
        done();
      }
    },
    close: async () => void model.dispose(),
  };
}

function metricOf(config: LayersConfig, job: EvaluationJob) {
  const name = config.metric ?? job.metric;
  if (isMeasureName(name)) {
    if (config.label !== undefined || !needsLabels(name)) return name;
    throw new TributaryError('CONFIG_INVALID', {
      what: `the metric ${name} needs labels`,
      fix: 'Name their column with `label` below `tfjs`.',
    });
  }
  throw new TributaryError('CONFIG_INVALID', {
    what: `the metric ${name} is none that a tfjs evaluator computes`,
    expected: MEASURE_NAMES.join(', '),
    fix: 'Say which of them with `metric` below `tfjs`.',
  });
}

/** The topology of a model.json; its own weights are not read. */
async function openModel(tf: Tensorflow, path: string): Promise<LayersModel> {
  const layers = loadLayersPackage(tf);
  const text = await readFile(path, 'utf8').catch((error: unknown) => Promise.reject(toTributaryError(error, path)));
  try {
    const json = JSON.parse(text) as Record<string, unknown>;
    const modelTopology = json['modelTopology'] ?? json;
    return await layers.loadLayersModel({ load: async () => ({ modelTopology }) }, { strict: false });
  } catch (error) {
    throw new TributaryError(
      'DATA_INVALID',
      { what: 'not a LayersModel', where: path, expected: 'a model.json of tf.LayersModel.save', got: (error as Error).message },
      { cause: error },
    );
  }
}

async function prepare(model: LayersModel, config: LayersConfig, table: Table): Promise<Prepared> {
  const named = config.inputs ?? {};
  const columnOf = (name: string, index: number): string =>
    (Array.isArray(named) ? named[index] : (named as Record<string, string>)[name]) ?? name;
  const inputs: PreparedInput[] = [];
  for (const [index, { name, dtype, shape }] of model.inputs.entries()) {
    inputs.push(prepareInput({ name, type: dtype, shape }, await readColumn(table, columnOf(name, index)), table.path));
  }
  const labels = config.label === undefined ? undefined : await readColumn(table, config.label);
  const counts = [...inputs, ...(labels === undefined ? [] : [{ name: labels.name, rows: rowsOf(labels) }])];
  const rows = commonRows(counts, table.path);
  return { rows, inputs, labels: labels === undefined ? undefined : Float64Array.from(labels.values as Float64Array, Number) };
}

/** Every weight of the model has to be in the candidate: a LayersModel without weights has random ones. */
async function setWeights(
  tf: Tensorflow,
  model: LayersModel,
  tensors: TensorMap,
  config: LayersConfig,
  { candidate, modelPath }: { candidate: string; modelPath: string },
): Promise<{ unused: string[] }> {
  const transpose = new Set(config.transpose);
  const used = new Set<string>();
  const made: tfjs.Tensor[] = [];
  try {
    for (const weight of model.weights) {
      const { name } = tensorNameOf(weight.originalName, config.weights ?? {});
      const tensor = tensors.get(name);
      if (tensor === undefined) {
        refuseData(candidate, `the candidate has no tensor ${name} for weight ${weight.originalName} of the model`, {
          expected: name,
          got: someNames([...tensors.keys()]),
          fix: 'Map the names with `weights`.',
        });
      }
      used.add(name);
      const values = await weightValues(tensor, weight, transpose.delete(weight.originalName), candidate);
      made.push(tf.tensor(values, [...weight.shape], 'float32'));
    }
    const wrong = [...transpose];
    if (wrong.length > 0) {
      const got = someNames(model.weights.map(({ originalName }) => originalName));
      refuseData(modelPath, `the model has no weight ${wrong.join(', ')}`, { got });
    }
    model.setWeights(made);
  } finally {
    for (const tensor of made) tensor.dispose();
  }
  return { unused: [...tensors.keys()].filter((name) => !used.has(name)) };
}

async function weightValues(tensor: StoredTensor, weight: LayerWeight, transposed: boolean, candidate: string): Promise<Float32Array> {
  const expected = transposed ? [...weight.shape].reverse() : weight.shape;
  if (tensor.shape.join() !== expected.join() || (transposed && expected.length !== 2)) {
    const reversed = !transposed && expected.length === 2 && [...tensor.shape].reverse().join() === expected.join();
    refuseData(candidate, `tensor ${tensor.name} has another shape than weight ${weight.originalName} of the model`, {
      expected: `[${expected.join(', ')}]`,
      got: `[${tensor.shape.join(', ')}]`,
      fix: reversed ? `List ${weight.originalName} under \`transpose\`.` : undefined,
    });
  }
  const kind = FLOATS[tensor.dtype];
  if (kind === undefined)
    refuseData(candidate, `tensor ${tensor.name} is not of floats`, { expected: 'F32, F16 or BF16', got: tensor.dtype });
  const [segment] = tensor.segments;
  if (segment === undefined) return new Float32Array();
  const values = decodeElements(await readRange(segment.path, segment.offset, segment.length), kind) as Float32Array;
  if (!transposed) return values;
  const [rows = 0, columns = 0] = tensor.shape;
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return new Float32Array(transposeBytes(bytes, rows, columns, FLOAT_BYTES).buffer);
}

async function run(
  tf: Tensorflow,
  model: LayersModel,
  { rows, inputs, labels }: Prepared,
  configured: number,
  measure: Measure,
  job: EvaluationJob,
): Promise<void> {
  const labelSize = labels === undefined ? 0 : labels.length / rows;
  const batch = inputs.find((input) => input.batch !== undefined)?.batch ?? configured;
  if (rows % batch !== 0 && batch !== configured) {
    refuseData(job.folder, 'the model wants batches of one size, and the data is no whole number of them', {
      expected: `a multiple of ${batch} rows`,
      got: `${rows}`,
    });
  }
  for (let start = 0; start < rows; start += batch) {
    // The WASM backend computes on this thread: heartbeats and signals get their turn between batches.
    await setImmediate();
    throwIfStopped(job.signal);
    const count = Math.min(batch, rows - start);
    const { scores, shape } = predict(tf, model, inputs, start, count);
    measure.add({ rows: count, scores, shape, labels: labels?.subarray(start * labelSize, (start + count) * labelSize) });
  }
}

/** The first output. @throws EVALUATION_FAILED, as when the backend lacks a kernel */
function predict(tf: Tensorflow, model: LayersModel, inputs: readonly PreparedInput[], start: number, count: number) {
  try {
    return tf.tidy(() => {
      const fed = inputs.map(({ shape, values, type }) => {
        const size = shape.reduce((product, one) => product * one, 1);
        const part = values.subarray(start * size, (start + count) * size) as Float32Array;
        return tf.tensor(part, [count, ...shape], type === 'int32' ? 'int32' : 'float32');
      });
      const output = model.predictOnBatch(fed.length === 1 ? (fed[0] as tfjs.Tensor) : fed);
      const first = (Array.isArray(output) ? output[0] : output) as tfjs.Tensor;
      return { scores: first.dataSync<'float32'>(), shape: first.shape };
    });
  } catch (error) {
    throw new TributaryError(
      'EVALUATION_FAILED',
      {
        what: 'TensorFlow.js could not compute a batch',
        got: (error as Error).message,
        fix: 'Where a kernel is missing, use another `backend`, such as cpu.',
      },
      { cause: error },
    );
  }
}
