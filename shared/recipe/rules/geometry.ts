/** mergekit's rules on whole tensors as vectors: spheres, angles, distances. */
import { describePreset } from '../composition.js';
import type { CombineStep, RuleDescription, Weighting } from '../recipe.js';
import { COMBINES } from '../steps/combines.js';

function geometry(name: CombineStep, source: string, weighting: Weighting = 'uniform', formula?: string): RuleDescription {
  const [of = 'weights'] = COMBINES[name].of;
  return describePreset({
    name,
    family: 'geometry',
    composition: { of, transforms: [], weighting, combine: name, post: [] },
    formula: formula ?? COMBINES[name].formula,
    source,
    mergekit: true,
  });
}

export const GEOMETRY = {
  slerp: geometry('slerp', 'Shoemake 1985; mergekit'),
  nuslerp: geometry('nuslerp', 'mergekit', 'given'),
  multislerp: geometry('multislerp', 'Goddard, Multi-SLERP; mergekit', 'given'),
  karcher: geometry('karcher', 'Karcher 1977; mergekit'),
  model_stock: geometry('model_stock', 'Jang et al., Model Stock (arXiv 2403.19522)'),
  nearswap: geometry('nearswap', 'mergekit'),
  arcee_fusion: geometry('arcee_fusion', 'Arcee Fusion; mergekit', 'uniform', `base + V, V = ${COMBINES.arcee_fusion.formula}`),
};
