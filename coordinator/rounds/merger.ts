/**
 * Merges closed rounds, in the queue of all merges. A round found in `merging` at start goes on from its journal.
 * Invariant: the folder of a model is whole and on stable storage before the row that names it exists.
 */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';
import { stagingFor } from '../../shared/merge/staging.js';
import { MODELS_DIR, publishFolder } from '../models/publish.js';
import type { Services } from '../services.js';
import { mergeContributions } from './merge-contributions.js';
import { parseRoundRecipe } from './round-recipe.js';
import type { RoundRow } from './round-store.js';

/** Watchers hear of progress at most this often. */
const PROGRESS_EVERY_MS = 250;

export class Merger {
  readonly #services: Services;
  #unsubscribe: () => void = () => {};

  constructor(services: Services) {
    this.#services = services;
  }

  start(): void {
    this.#unsubscribe = this.#services.hub.subscribe((notice) => {
      if (notice.type === 'round.merging') this.#enqueue(notice.round);
      if (notice.type === 'round.cancelled') this.#services.merges.abort(keyOf(notice.round));
    });
    for (const round of this.#services.rounds.list('merging', 10_000, undefined)) this.#enqueue(round.name);
  }

  stop(): void {
    this.#unsubscribe();
  }

  #enqueue(name: string): void {
    this.#services.merges.enqueue({
      key: keyOf(name),
      run: async (signal) => {
        const round = this.#services.rounds.find(name);
        if (round?.state === 'merging') await this.#merge(round, signal);
      },
    });
  }

  async #merge(round: RoundRow, signal: AbortSignal): Promise<void> {
    const { logger, metrics, hub, nowMs } = this.#services;
    const stopTimer = metrics.mergeSeconds.startTimer();
    logger.info({ round: round.name }, 'merge started');
    let announcedMs = 0;
    try {
      const report = await this.#mergeAndPublish(round, signal, (doneBytes, totalBytes) => {
        if (nowMs() - announcedMs < PROGRESS_EVERY_MS) return;
        announcedMs = nowMs();
        hub.setProgress(round.name, { doneBytes, totalBytes }, announcedMs);
      });
      const seconds = stopTimer({ result: 'published' });
      logger.info({ round: round.name, ...report, seconds }, 'model published');
    } catch (error) {
      if (this.#services.stopping.aborted) {
        logger.info({ round: round.name }, 'merge interrupted; it goes on at the next start');
        return;
      }
      if (this.#services.rounds.get(round.name).state !== 'merging') {
        await this.#discard(round);
        await rm(stagingFor(this.#folder(round)).root, { recursive: true, force: true });
        logger.info({ round: round.name }, 'merge cancelled');
        stopTimer({ result: 'cancelled' });
        return;
      }
      const known = toTributaryError(error);
      stopTimer({ result: 'failed' });
      logger.error({ round: round.name, code: known.code, err: error }, 'merge failed');
      // Before the row: a failed round may lose contributions, and must not find a folder made with them when it is closed again.
      await this.#discard(round);
      this.#services.rounds.change(round.name, 'merge_failed', { error: known.toJSON() });
    } finally {
      hub.setProgress(round.name, undefined, nowMs());
    }
  }

  #workDir(round: RoundRow): string {
    return join(this.#services.config.data, 'merging', round.name);
  }

  #folder(round: RoundRow): string {
    return join(this.#services.config.data, MODELS_DIR, round.name);
  }

  /** Removes a finished folder that will not be published, and the spool files; the journal of an unfinished one stays. */
  async #discard(round: RoundRow): Promise<void> {
    await rm(this.#folder(round), { recursive: true, force: true });
    await rm(this.#workDir(round), { recursive: true, force: true });
  }

  async #mergeAndPublish(
    round: RoundRow,
    signal: AbortSignal,
    onProgress: (doneBytes: number, totalBytes: number) => void,
  ): Promise<object> {
    const { rounds, studies } = this.#services;
    const { map } = parseRoundRecipe(round.recipe).recipe;
    const workDir = this.#workDir(round);
    const folder = this.#folder(round);
    const accepted = rounds.accepted(round.name);
    if (accepted.length === 0) throw new TributaryError('NO_CONTRIBUTIONS', { what: `Round ${round.name} has no accepted contribution` });
    if (!existsSync(folder)) await mergeContributions(this.#services, { round, folder, workDir, signal, onProgress });
    const published = await publishFolder(this.#services, {
      name: round.name,
      round: round.name,
      version: this.#services.models.resolve(round.base_name).version + 1,
      signal,
      alsoInTransaction: (insertModel) =>
        rounds.change(round.name, 'merge_succeeded', { model: round.name }, () => {
          insertModel();
          if (map !== undefined) studies.insert(round.name);
        }),
    });
    await rm(workDir, { recursive: true, force: true });
    return { contributions: accepted.length, weightsDigest: published.weightsDigest, bytes: published.totalBytes };
  }
}

const keyOf = (round: string): string => `rounds/${round}`;
