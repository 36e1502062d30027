/** Reads `output`: the whole model, or a LoRA adapter that holds the merged task vector. */
import type { AdapterOutput } from './recipe.js';
import { countOf, describe, entriesOf, isMapping, isNothing, numberOf, refuse, refuseKey, textOf, type YamlNode } from './yaml-node.js';

const EXPECTED = 'model, adapter, {adapter: {rank: 16}} or {adapter: {energy: 0.99}}';

function parseSize(at: YamlNode): AdapterOutput {
  let rank: number | undefined;
  let energy: number | undefined;
  for (const entry of entriesOf(at, '{rank: 16} or {energy: 0.99}')) {
    if (entry.key === 'rank') rank = countOf(entry.value, 'a whole number above 0', 1);
    else if (entry.key === 'energy') energy = numberOf(entry.value, 'a number above 0, at most 1');
    else refuseKey(entry, ['rank', 'energy']);
  }
  if (energy !== undefined && !(energy > 0 && energy <= 1))
    return refuse('RECIPE_INVALID', at, 'energy is out of range', { expected: 'a number above 0, at most 1', got: `${energy}` });
  return { rank, energy };
}

/** Undefined: the whole model. */
export function parseOutput(at: YamlNode): AdapterOutput | undefined {
  if (!isMapping(at)) {
    const word = textOf(at, EXPECTED);
    if (word === 'model') return undefined;
    if (word === 'adapter') return {};
    return refuse('RECIPE_INVALID', at, `output cannot be ${describe(at)}`, { expected: EXPECTED, got: word });
  }
  let output: AdapterOutput | undefined;
  for (const entry of entriesOf(at, EXPECTED)) {
    if (entry.key === 'adapter') output = isNothing(entry.value) ? {} : parseSize(entry.value);
    else refuseKey(entry, ['adapter']);
  }
  return output ?? refuse('RECIPE_INVALID', at, 'output is empty', { expected: EXPECTED });
}
