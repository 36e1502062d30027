/**
 * Takes chosen points to published models: measured by the agents, then merged in the queue of all merges, then published. Every step begins
 * with what the database says, so a coordinator that is killed goes on where it was.
 * Invariant: the folder of a model is whole and on stable storage before the row that names it exists.
 */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { toTributaryError } from '../../shared/errors/tributary-error.js';
import { cardTable } from '../../shared/merge/model-card.js';
import type { KnownStudy } from '../evaluation/known-studies.js';
import { variantOf } from '../evaluation/served-candidates.js';
import { MODELS_DIR, publishFolder } from '../models/publish.js';
import { mergeContributions } from '../rounds/merge-contributions.js';
import type { Variant } from '../rounds/merge-round.js';
import type { Services } from '../services.js';
import { inTransaction } from '../state/database.js';
import type { MaterialisationRow } from './materialisation-store.js';
import { predictionOf } from './messages.js';

export class Materialiser {
  readonly #services: Services;
  #unsubscribe: () => void = () => {};

  constructor(services: Services) {
    this.#services = services;
  }

  start(): void {
    const { measured, materialisations } = this.#services;
    this.#unsubscribe = measured.subscribe(() => this.#mergeWhatIsMeasured());
    for (const { name } of materialisations.inState('merging')) this.enqueue(name);
    this.#mergeWhatIsMeasured();
  }

  stop(): void {
    this.#unsubscribe();
  }

  /** To be called when a materialisation was added or asked for again. */
  advance(name: string): void {
    this.#mergeWhatIsMeasured();
    if (this.#services.materialisations.find(name)?.state === 'merging') this.enqueue(name);
    this.#services.desk.ring();
  }

  #mergeWhatIsMeasured(): void {
    const { materialisations, studies } = this.#services;
    for (const { name, round, candidate } of materialisations.inState('evaluating')) {
      if (!studies.isSettled(round, candidate)) continue;
      if (materialisations.change(name, 'evaluating', 'merging')) this.enqueue(name);
    }
  }

  enqueue(name: string): void {
    this.#services.merges.enqueue({
      key: `materialisations/${name}`,
      run: async (signal) => {
        const row = this.#services.materialisations.find(name);
        if (row?.state === 'merging') await this.#merge(row, signal);
      },
    });
  }

  async #merge(row: MaterialisationRow, signal: AbortSignal): Promise<void> {
    const { logger, materialisations, metrics, stopping } = this.#services;
    const { name, round } = row;
    const stopTimer = metrics.mergeSeconds.startTimer();
    const folder = join(this.#services.config.data, MODELS_DIR, name);
    const workDir = join(this.#services.config.data, 'merging', `point-${name}`);
    try {
      await this.#mergeAndPublish(row, folder, workDir, signal);
      const seconds = stopTimer({ result: 'published' });
      logger.info({ round, model: name, seconds }, 'point published');
    } catch (error) {
      if (stopping.aborted) return;
      const known = toTributaryError(error);
      stopTimer({ result: 'failed' });
      logger.error({ round, model: name, code: known.code, err: error }, 'a point could not be merged');
      await rm(folder, { recursive: true, force: true });
      await rm(workDir, { recursive: true, force: true });
      materialisations.change(name, 'merging', 'failed', known.toJSON());
    }
  }

  async #mergeAndPublish(row: MaterialisationRow, folder: string, workDir: string, signal: AbortSignal): Promise<void> {
    const { db, fronts, knownStudies, materialisations, models } = this.#services;
    const known = knownStudies.get(row.round);
    await fronts.upToDate(row.round);
    if (!existsSync(folder)) {
      const variant = this.#variant(row, known);
      await mergeContributions(this.#services, { round: known.round, variant, folder, workDir, signal, onProgress: () => {} });
    }
    await publishFolder(this.#services, {
      name: row.name,
      round: row.round,
      version: models.resolve(known.round.base_name).version + 1,
      signal,
      alsoInTransaction: (insertModel) =>
        inTransaction(db, () => {
          insertModel();
          materialisations.changeInTransaction(row.name, 'merging', 'published');
        }),
    });
    await rm(workDir, { recursive: true, force: true });
    fronts.forgetMessage(row.round);
  }

  /** The recipe of the point, and its predicted and measured metrics for the card. */
  #variant({ name, round, candidate }: MaterialisationRow, known: KnownStudy): Variant {
    const { spec } = known;
    const { coefficients, measured } = this.#services.studies.candidate(round, candidate, spec.tasks.length);
    const predicted = predictionOf(spec, this.#services.fronts.get(round).fit, coefficients);
    const number = (value: number | undefined): string => (value === undefined ? '' : `${Number(value.toPrecision(6))}`);
    const metrics = spec.tasks.map(({ name: task, metric, direction }, index) => {
      const own = measured[index];
      return [
        task,
        `${metric} (${direction})`,
        number(predicted?.predicted[index]),
        number(predicted?.predictedErrors[index]),
        own === undefined ? 'not measured' : number(own.value),
        number(own?.standardError),
        own?.count === undefined ? '' : `${own.count}`,
      ];
    });
    return variantOf(known, name, coefficients, {
      lineage: [
        ['Study', `${spec.method}, of round ${round}`],
        ['Point', `candidate ${candidate}`],
      ],
      sections: [
        {
          heading: 'Metrics',
          text: cardTable(['Task', 'Metric', 'Predicted', 'Standard error', 'Measured', 'Standard error', 'Examples'], metrics),
        },
        {
          heading: 'Coefficients',
          text: cardTable(
            ['Coordinate', 'Value'],
            spec.dimensions.map((dimension, index) => [dimension.name, `${coefficients[index] ?? 0}`]),
          ),
        },
      ],
    });
  }
}
