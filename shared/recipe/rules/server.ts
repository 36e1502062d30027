/** Rules with a memory: the merged task vector is a pseudo-gradient of a server optimiser, whose moments the coordinator keeps. */
import { describePreset } from '../composition.js';
import type { RuleDescription } from '../recipe.js';

function server(name: string, optimizer: string, formula: string, serverLr: number, without: readonly string[]): RuleDescription {
  return describePreset({
    name,
    family: 'across rounds',
    composition: { of: 'task_vectors', transforms: [], weighting: 'samples', combine: 'sum', post: ['server'] },
    defaults: { normalize: 1, optimizer, server_lr: serverLr },
    without: ['normalize', 'optimizer', ...without],
    formula: `${formula}; moments are zero at first and not corrected for it`,
    source:
      optimizer === 'momentum'
        ? 'Hsu et al., Measuring the effects of non-identical data distribution (arXiv 1909.06335)'
        : 'Reddi et al., Adaptive federated optimization (arXiv 2003.00295)',
    acrossRounds: true,
  });
}

const V = 'V = sum of (n_i / n) (x_i - base)';

export const SERVER = {
  fedavgm: server('fedavgm', 'momentum', `base + server_lr m, m = momentum m + V, ${V}`, 1, ['beta1', 'beta2', 'tau']),
  fedadam: server(
    'fedadam',
    'adam',
    `base + server_lr m / (sqrt(v) + tau), m = beta1 m + (1 - beta1) V, v = beta2 v + (1 - beta2) V^2, ${V}`,
    0.1,
    ['momentum'],
  ),
  fedyogi: server(
    'fedyogi',
    'yogi',
    `base + server_lr m / (sqrt(v) + tau), m = beta1 m + (1 - beta1) V, v = v - (1 - beta2) V^2 sign(v - V^2), ${V}`,
    0.1,
    ['momentum'],
  ),
};
