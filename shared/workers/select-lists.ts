/** From what a `gather` look left to borders: which magnitude stands at a position, and how often it occurs in each unit. */
import { type Border, borderInList } from '../merge/selection.js';
import { type GatherRange, type Look, type LookBuffers, UNIT_INDEX_FIELDS } from './program-job.js';

/** Numbers that a border leaves in `sums`: whether its ranges hold the position; the key there; how many are smaller, and equal. */
export const SELECTED = { found: 0, key: 1, below: 2, equal: 3, fields: 4 } as const;

type Select = Extract<Look, { kind: 'select' }>;

/** The border within one range; undefined when more was found than listed. */
function borderIn(keys: Uint32Array, { low, high, indexAt, listAt, room }: GatherRange, position: number): Border | undefined {
  const listed = keys[indexAt] ?? 0;
  if (low === high) return { key: low, below: 0, equal: listed };
  return listed > room ? undefined : borderInList(keys.subarray(listAt, listAt + listed), low, high, position);
}

function tiesIn(keys: Uint32Array, { low, high, indexAt, listAt }: GatherRange, unit: number, key: number): number {
  const entry = indexAt + 1 + unit * UNIT_INDEX_FIELDS;
  const count = keys[entry + 1] ?? 0;
  if (low === high) return count;
  const from = listAt + (keys[entry] ?? 0);
  const end = from + count;
  let ties = 0;
  for (let i = from; i < end; i++) if (keys[i] === key) ties += 1;
  return ties;
}

/** Does one border. */
export function selectBorder({ keys, units, borders, sumsAt, tiesAt }: Select, index: number, buffers: LookBuffers): void {
  const { position, ranges } = borders[index] ?? { position: 0, ranges: [] };
  const [first] = ranges;
  if (first === undefined) return;
  let below = 0;
  for (let unit = 0; unit < units; unit++) below += keys[first.indexAt + 1 + unit * UNIT_INDEX_FIELDS + 2] ?? 0;
  if (position < below) return;
  for (const range of ranges) {
    const found = keys[range.indexAt] ?? 0;
    if (position >= below + found) {
      below += found;
      continue;
    }
    const border = borderIn(keys, range, position - below);
    if (border === undefined) return;
    const at = sumsAt + index * SELECTED.fields;
    buffers.sums[at + SELECTED.found] = 1;
    buffers.sums[at + SELECTED.key] = border.key;
    buffers.sums[at + SELECTED.below] = border.below + below;
    buffers.sums[at + SELECTED.equal] = border.equal;
    for (let unit = 0; unit < units; unit++) buffers.keys[tiesAt + index * units + unit] = tiesIn(keys, range, unit, border.key);
    return;
  }
}
