/** Rounds, models and points that become models share one space of names, so that `pull NAME` always means one thing. */
import { randomInt } from 'node:crypto';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { MaterialisationStore } from '../pareto/materialisation-store.js';
import type { RoundStore } from '../rounds/round-store.js';
import type { ModelStore } from './model-store.js';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

const RIVERS = [
  'amazon',
  'danube',
  'elbe',
  'ganges',
  'indus',
  'loire',
  'mekong',
  'nile',
  'oder',
  'rhine',
  'seine',
  'tagus',
  'volga',
  'yukon',
];

export class Names {
  readonly #models: ModelStore;
  readonly #rounds: RoundStore;
  readonly #points: MaterialisationStore;

  constructor(models: ModelStore, rounds: RoundStore, points: MaterialisationStore) {
    this.#models = models;
    this.#rounds = rounds;
    this.#points = points;
  }

  check(name: string, what: string): void {
    if (NAME.test(name)) return;
    throw new TributaryError('USAGE', {
      what: `${JSON.stringify(name)} is not usable as ${what}`,
      expected: "letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 63",
    });
  }

  requireFree(name: string): void {
    const taken = this.#takenBy(name);
    if (taken === undefined) return;
    throw new TributaryError('NAME_TAKEN', { what: `There is a ${taken} named ${name} already`, fix: 'Choose another name.' });
  }

  /** A free name that is easy to say and type. */
  invent(): string {
    for (;;) {
      const name = `${RIVERS[randomInt(RIVERS.length)]}-${randomInt(1000)}`;
      if (this.#takenBy(name) === undefined) return name;
    }
  }

  #takenBy(name: string): string | undefined {
    if (this.#models.find(name) !== undefined) return 'model';
    if (this.#rounds.find(name) !== undefined) return 'round';
    return this.#points.find(name) === undefined ? undefined : 'point of a front';
  }
}
