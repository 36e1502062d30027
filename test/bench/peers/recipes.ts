/** The recipes that both programs are given, word for word. */
import type { FineTunes } from './fine-tunes.js';

interface PeerMethod {
  /** Of the recipe, for all tensors. */
  readonly parameters: string;
  readonly base: boolean;
  readonly weights: boolean;
  /** Masks are drawn: outputs are compared by their statistics. */
  readonly random: boolean;
  /** The only number of models it takes. */
  readonly models?: number;
}

const method = (parameters: string, more: Partial<PeerMethod> = {}): PeerMethod => ({
  parameters,
  base: true,
  weights: true,
  random: false,
  ...more,
});

export const PEER_METHODS: Readonly<Record<string, PeerMethod>> = {
  linear: method('', { base: false }),
  task_arithmetic: method('lambda: 0.9'),
  ties: method('density: 0.5'),
  dare_ties: method('density: 0.5', { random: true }),
  della: method('density: 0.5, epsilon: 0.15', { random: true }),
  breadcrumbs: method('density: 0.5, gamma: 0.01'),
  sce: method('select_topk: 0.5', { weights: false }),
  slerp: method('t: 0.4', { weights: false, models: 2 }),
  karcher: method('', { base: false, weights: false }),
  model_stock: method('', { weights: false }),
};

export function recipeText(name: string, set: FineTunes, count: number): string {
  const { parameters = '', base = true, weights = true } = PEER_METHODS[name] ?? {};
  const models = set.models.slice(0, count);
  const lines = models.map(
    (model, index) =>
      `  - {model: ${JSON.stringify(model)}${weights ? `, parameters: {weight: ${(0.2 + 0.1 * (index % 4)).toFixed(1)}}` : ''}}`,
  );
  // slerp's base is one of its two models.
  const baseModel = name === 'slerp' ? models[0] : set.base;
  const head = [`merge_method: ${name}`];
  if (base) head.push(`base_model: ${JSON.stringify(baseModel)}`);
  if (parameters !== '') head.push(`parameters: {${parameters}}`);
  return `${[...head, 'models:', ...lines].join('\n')}\n`;
}

/** Weights that a merge has to read. */
export function inputsOf(name: string, set: FineTunes, count: number): string[] {
  const base = name !== 'slerp' && PEER_METHODS[name]?.base === true ? [set.base] : [];
  return [...base, ...set.models.slice(0, count)].map((folder) => `${folder}/model.safetensors`);
}
