/**
 * Candidates of studies whose contributors may not see one another's vectors: merged here when the first agent asks, kept while pairs of them
 * are to be measured, a few at a time. A folder that is gone is merged again, with the same bytes.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { stagingFor } from '../../shared/merge/staging.js';
import type { MeasuredCandidate } from '../../shared/pareto/study.js';
import { candidateRecipe } from '../../shared/recipe/map-block.js';
import { type DescribedFolder, describeMerged } from '../models/publish.js';
import { mergeContributions } from '../rounds/merge-contributions.js';
import type { Variant } from '../rounds/merge-round.js';
import type { Services } from '../services.js';
import type { KnownStudy } from './known-studies.js';
import { candidateReference } from './references.js';

/** Relative to the data folder. */
export const CANDIDATES_DIR = 'candidates';

/** Agents measure candidates in the order of their numbers, so few are in use at once. */
const MOST_KEPT = 4;

interface Kept {
  readonly merged: Promise<DescribedFolder>;
  readonly folder: string;
  /** Calls that read it. */
  readers: number;
  isWanted: boolean;
}

/** One candidate as the merge engine takes it. */
export function variantOf(
  { recipe, spec }: KnownStudy,
  title: string,
  coefficients: readonly number[],
  more: Partial<Pick<Variant, 'lineage' | 'sections' | 'isTemporary'>> = {},
): Variant {
  const weights = new Map<string, string>();
  for (const [index, { contributor }] of spec.dimensions.entries()) {
    if (contributor === undefined) continue;
    const earlier = weights.get(contributor);
    weights.set(contributor, `${earlier === undefined ? '' : `${earlier}, `}${coefficients[index] ?? 0}`);
  }
  return {
    title,
    recipe: candidateRecipe(recipe, spec.dimensions, coefficients),
    identity: `coefficients ${coefficients.join(' ')}`,
    weights,
    lineage: more.lineage ?? [],
    sections: more.sections ?? [],
    isTemporary: more.isTemporary ?? false,
  };
}

export class ServedCandidates {
  readonly #services: Services;
  /** By reference, in the order of use. */
  readonly #kept = new Map<string, Kept>();
  #begun = 0;
  #unsubscribe: () => void = () => {};

  constructor(services: Services) {
    this.#services = services;
  }

  /** What a killed process had merged is merged again when it is asked for. */
  async start(): Promise<void> {
    const { config, measured, studies } = this.#services;
    await rm(join(config.data, CANDIDATES_DIR), { recursive: true, force: true });
    this.#unsubscribe = measured.subscribe(({ round, candidate }) => {
      const reference = candidateReference(round, candidate);
      if (this.#kept.has(reference) && studies.isSettled(round, candidate)) this.#drop(reference);
    });
  }

  stop(): void {
    this.#unsubscribe();
  }

  /**
   * Merges the candidate unless it lies there. It stays until `release` is called.
   * @throws what the merge throws, COORDINATOR_UNAVAILABLE when the coordinator stops
   */
  async open(study: KnownStudy, candidate: MeasuredCandidate['id']): Promise<DescribedFolder & { readonly release: () => void }> {
    const reference = candidateReference(study.round.name, candidate);
    const coefficients = this.#services.studies.coefficients(study.round.name, candidate);
    if (coefficients === undefined)
      throw new TributaryError('MODEL_NOT_FOUND', { what: `The study of round ${study.round.name} has no candidate ${candidate}` });
    const kept = this.#kept.get(reference) ?? this.#begin(study, candidate, coefficients);
    this.#kept.delete(reference);
    this.#kept.set(reference, kept);
    kept.readers++;
    const release = (): void => {
      kept.readers--;
      if (!kept.isWanted) this.#remove(kept);
      this.#trim();
    };
    try {
      return { ...(await kept.merged), release };
    } catch (error) {
      this.#drop(reference);
      release();
      throw error;
    }
  }

  #begin(study: KnownStudy, candidate: number, coefficients: readonly number[]): Kept {
    // A name of its own each time: the folder of before may still be read, or be on its way out.
    const relative = join(CANDIDATES_DIR, study.round.name, `${candidate}.${++this.#begun}`);
    const folder = join(this.#services.config.data, relative);
    const workDir = `${folder}.work`;
    const merged = new Promise<DescribedFolder>((resolve, reject) => {
      this.#services.merges.enqueue({
        key: relative,
        run: async (signal) => {
          try {
            await mkdir(join(this.#services.config.data, CANDIDATES_DIR, study.round.name), { recursive: true });
            const variant = variantOf(study, `${study.round.name}, candidate ${candidate}`, coefficients, { isTemporary: true });
            await mergeContributions(this.#services, { round: study.round, variant, folder, workDir, signal, onProgress: () => {} });
            resolve(await describeMerged(this.#services, relative, variant.title, signal));
          } catch (error) {
            await rm(stagingFor(folder).root, { recursive: true, force: true });
            reject(error);
          } finally {
            await rm(workDir, { recursive: true, force: true });
          }
        },
        onDropped: reject,
      });
    });
    merged.catch(() => {});
    return { merged, folder, readers: 0, isWanted: true };
  }

  #trim(): void {
    for (const [reference, { readers }] of this.#kept) {
      if (this.#kept.size <= MOST_KEPT) return;
      if (readers === 0) this.#drop(reference);
    }
  }

  #drop(reference: string): void {
    const kept = this.#kept.get(reference);
    if (kept === undefined) return;
    this.#kept.delete(reference);
    kept.isWanted = false;
    this.#remove(kept);
  }

  #remove({ folder, readers, merged }: Kept): void {
    if (readers > 0) return;
    merged
      .then(() => rm(folder, { recursive: true, force: true }))
      .catch((error: unknown) => this.#services.logger.warn({ err: error }, 'a served candidate could not be removed'));
  }
}
