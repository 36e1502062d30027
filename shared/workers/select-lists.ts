/** From the lists that a `gather` look left to borders: which magnitude stands at a position, and how often it occurs in each unit. */
import { borderInList } from '../merge/selection.js';
import { type Look, type LookBuffers, UNIT_INDEX_FIELDS } from './program-job.js';

/** Numbers that a range leaves in `sums`: whether its list holds the position; the key there; how many are smaller, and equal. */
export const SELECTED = { found: 0, key: 1, below: 2, equal: 3, fields: 4 } as const;

/** Does one range. */
export function selectInRange(look: Extract<Look, { kind: 'select' }>, index: number, buffers: LookBuffers): void {
  const { keys, units } = look;
  const range = look.ranges[index];
  if (range === undefined) return;
  const { indexAt, listAt, room, position, low, high } = range;
  const at = look.sumsAt + index * SELECTED.fields;
  const listed = keys[indexAt] ?? 0;
  let below = 0;
  for (let unit = 0; unit < units; unit++) below += keys[indexAt + 1 + unit * UNIT_INDEX_FIELDS + 2] ?? 0;
  if (position < below || position >= below + listed) return;
  // One magnitude alone was counted, not listed.
  const alone = low === high;
  if (!alone && listed > room) return;
  const border = alone
    ? { key: low, below: 0, equal: listed }
    : borderInList(keys.subarray(listAt, listAt + listed), low, high, position - below);
  buffers.sums[at + SELECTED.found] = 1;
  buffers.sums[at + SELECTED.key] = border.key;
  buffers.sums[at + SELECTED.below] = border.below + below;
  buffers.sums[at + SELECTED.equal] = border.equal;
  for (let unit = 0; unit < units; unit++) {
    const entry = indexAt + 1 + unit * UNIT_INDEX_FIELDS;
    const from = listAt + (keys[entry] ?? 0);
    const end = alone ? from : from + (keys[entry + 1] ?? 0);
    let ties = alone ? (keys[entry + 1] ?? 0) : 0;
    for (let i = from; i < end; i++) if (keys[i] === border.key) ties += 1;
    buffers.keys[look.tiesAt + index * units + unit] = ties;
  }
}
