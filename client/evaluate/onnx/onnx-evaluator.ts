/**
 * An ONNX graph as an evaluator: the candidate's weights are bound to its initializers by name and read by onnxruntime from the candidate's own file.
 * Nothing is copied and no model is written. The graph and the data are read once; a session lives as long as one evaluation, because its weights
 * are the file that the next candidate is written into.
 */
import { appendFile, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { TributaryError, toTributaryError } from '../../../shared/errors/tributary-error.js';
import { openCheckpoint } from '../../../shared/formats/checkpoint.js';
import { commonRows, halfToNumber, readColumn, rowsOf, type Table } from '../data/column.js';
import { openTable } from '../data/open-table.js';
import { type PreparedInput, prepareInput } from '../data/prepare-input.js';
import type { EvaluationJob, EvaluationOutcome, Evaluator } from '../evaluator.js';
import { createMeasure, isMeasureName, MEASURE_NAMES, type Measure, needsLabels } from '../measures.js';
import { throwIfStopped } from '../retrying.js';
import { type Bindings, bindWeights, replacementsOf } from './bind.js';
import type { OnnxConfig } from './config.js';
import { feed } from './feed.js';
import { type OnnxGraph, parseOnnx, writeOnnx } from './graph.js';
import { loadOnnxRuntime, type OnnxPort, type OnnxRuntime, type OnnxSession, type OnnxTensor, openSession } from './session.js';

interface Prepared {
  readonly rows: number;
  readonly inputs: readonly PreparedInput[];
  readonly labels?: Float64Array | undefined;
}

/** @throws EVALUATOR_UNAVAILABLE, DATA_INVALID, IO_ERROR */
export async function openOnnxEvaluator(task: string, config: OnnxConfig, folder: string): Promise<Evaluator> {
  const runtime = loadOnnxRuntime();
  const graphPath = resolve(folder, config.graph);
  const table = await openTable(resolve(folder, config.data));
  const bytes = await readFile(graphPath).catch((error: unknown) => Promise.reject(toTributaryError(error, graphPath)));
  const evaluation = new OnnxEvaluation(runtime, config, graphPath, parseOnnx(bytes, graphPath), table);
  return { name: `onnx of task ${task}`, evaluate: (job) => evaluation.evaluate(job), close: async () => undefined };
}

class OnnxEvaluation {
  readonly #runtime: OnnxRuntime;
  readonly #config: OnnxConfig;
  readonly #graphPath: string;
  readonly #graph: OnnxGraph;
  readonly #table: Table;
  #prepared: Promise<Prepared> | undefined;
  #said = false;

  constructor(runtime: OnnxRuntime, config: OnnxConfig, graphPath: string, graph: OnnxGraph, table: Table) {
    this.#runtime = runtime;
    this.#config = config;
    this.#graphPath = graphPath;
    this.#graph = graph;
    this.#table = table;
  }

  async evaluate(job: EvaluationJob): Promise<EvaluationOutcome> {
    const name = this.#config.metric ?? job.metric;
    if (!isMeasureName(name)) {
      throw new TributaryError('CONFIG_INVALID', {
        what: `the metric ${name} is none that an onnx evaluator computes`,
        expected: MEASURE_NAMES.join(', '),
        fix: 'Say which of them with `metric` below `onnx`.',
      });
    }
    const { tensors } = await openCheckpoint(job.folder);
    const bindings = bindWeights(this.#graph, tensors, job.folder, { graphPath: this.#graphPath, ...this.#config });
    await this.#sayBindings(bindings, job.logFile);
    const model = writeOnnx(this.#graph, await replacementsOf(bindings, this.#graphPath));
    const session = await openSession(this.#runtime, model, this.#graphPath, this.#config);
    try {
      this.#prepared ??= this.#prepare(session, needsLabels(name));
      const prepared = await this.#prepared.catch((error: unknown) => {
        this.#prepared = undefined;
        throw error;
      });
      const measure = createMeasure(name, { ...this.#config, where: this.#graphPath });
      await this.#run(session, prepared, measure, job);
      const { value, count, standardError } = measure.result();
      return { value, count, standardError, metrics: { [name]: value } };
    } finally {
      await session.release();
    }
  }

  /** Said once: names do not change between candidates. */
  async #sayBindings({ bound, kept, unused }: Bindings, logFile: string): Promise<void> {
    if (this.#said) return;
    this.#said = true;
    const lines = [`${bound.length} initializers of ${this.#graphPath} take their values from the candidate`];
    if (kept.length > 0) lines.push(`${kept.length} keep the graph's own: ${kept.map(({ name }) => name).join(', ')}`);
    if (unused.length > 0) lines.push(`${unused.length} tensors of the candidate are not in the graph: ${unused.join(', ')}`);
    await appendFile(logFile, `${lines.join('\n')}\n`);
  }

  async #prepare(session: OnnxSession, labelsNeeded: boolean): Promise<Prepared> {
    const { label, inputs: columns = {} } = this.#config;
    const where = this.#table.path;
    const wrong = Object.keys(columns).filter((name) => !session.inputMetadata.some((port) => port.name === name));
    if (wrong.length > 0) {
      throw new TributaryError('DATA_INVALID', {
        what: `the graph has no input ${wrong.join(', ')}`,
        where: this.#graphPath,
        expected: session.inputMetadata.map(({ name }) => name).join(', '),
      });
    }
    if (labelsNeeded && label === undefined) {
      throw new TributaryError('CONFIG_INVALID', {
        what: 'the metric needs labels',
        where,
        fix: 'Name their column with `label` below `onnx`.',
      });
    }
    const inputs: PreparedInput[] = [];
    for (const { name, type = 'no tensor', shape = [] } of this.#wanted(session)) {
      inputs.push(prepareInput({ name, type, shape }, await readColumn(this.#table, columns[name] ?? name), where));
    }
    const labels = label === undefined ? undefined : await readColumn(this.#table, label);
    const counts = [
      ...inputs.map(({ name, rows }) => ({ name, rows })),
      ...(labels === undefined ? [] : [{ name: labels.name, rows: rowsOf(labels) }]),
    ];
    const rows = commonRows(counts, where);
    return { rows, inputs, labels: labels === undefined ? undefined : Float64Array.from(labels.values as Float64Array, Number) };
  }

  /** Initializers may also be listed as inputs (graphs before IR version 4); they have their values. */
  #wanted(session: OnnxSession): OnnxPort[] {
    const initializers = new Set(this.#graph.initializers.map(({ name }) => name));
    return session.inputMetadata.filter(({ name }) => !initializers.has(name));
  }

  async #run(session: OnnxSession, { rows, inputs, labels }: Prepared, measure: Measure, job: EvaluationJob): Promise<void> {
    const output = this.#config.output ?? session.outputNames[0] ?? '';
    if (!session.outputNames.includes(output)) {
      throw new TributaryError('DATA_INVALID', {
        what: `the graph has no output ${output}`,
        where: this.#graphPath,
        expected: session.outputNames.join(', '),
      });
    }
    const batch = inputs.find((input) => input.batch !== undefined)?.batch ?? this.#config.batch;
    const labelSize = labels === undefined ? 0 : labels.length / rows;
    for (let start = 0; start < rows; start += batch) {
      // onnxruntime computes on this thread: heartbeats and signals get their turn between batches.
      await setImmediate();
      throwIfStopped(job.signal);
      const count = Math.min(batch, rows - start);
      const feeds = Object.fromEntries(inputs.map((input) => [input.name, feed(this.#runtime, input, start, count)]));
      const results = await session.run(feeds, [output]).catch((error: unknown) => {
        const details = { what: 'onnxruntime could not compute a batch', where: this.#graphPath, got: (error as Error).message };
        throw new TributaryError('EVALUATION_FAILED', details, { cause: error });
      });
      measure.add({
        rows: count,
        ...scoresOf(results[output] as OnnxTensor, count),
        labels: labels?.subarray(start * labelSize, (start + count) * labelSize),
      });
    }
  }
}

/** The first `rows` of an output as numbers. */
function scoresOf({ type, data, dims }: OnnxTensor, rows: number): { scores: ArrayLike<number>; shape: number[]; classes: boolean } {
  const shape = [rows, ...dims.slice(1)];
  const part = data.subarray(
    0,
    shape.reduce((product, size) => product * size, 1),
  );
  const isHalf = type === 'float16' && part instanceof Uint16Array;
  const scores =
    part instanceof BigInt64Array || part instanceof BigUint64Array
      ? Float64Array.from(part as BigInt64Array, Number)
      : isHalf
        ? Float32Array.from(part, halfToNumber)
        : part;
  return { scores, shape, classes: !type.startsWith('float') };
}
