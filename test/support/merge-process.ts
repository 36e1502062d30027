/**
 * A merge in a process of its own, in tiny tiles: prints `doneBytes resumedBytes` as it goes and kills itself once it has reported so many bytes
 * and its journal says more than an earlier run's, which every merge reaches. Arguments: recipe, output folder, bytes.
 */
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { mergeOffline } from '../../client/merge/merge-offline.js';
import { stagingFor } from '../../shared/merge/staging.js';

const [recipePath = '', outDir = '', killAtBytes = 'Infinity'] = process.argv.slice(2);

/** Marks of the tiles in the journal; undefined when there is no journal where an ordinary merge has one. */
function journalled(): Uint8Array | undefined {
  try {
    const bytes = readFileSync(join(stagingFor(outDir).root, 'journal'));
    return bytes.subarray(bytes.indexOf('\n') + 1);
  } catch {
    return undefined;
  }
}

const countOf = (marks: Uint8Array | undefined): number => marks?.reduce((sum, mark) => sum + mark, 0) ?? 0;
const before = countOf(journalled());

/** Whether a later run can go on from more than this one did, or there is no more. */
function worthKilling(): boolean {
  const marks = journalled();
  return marks === undefined || countOf(marks) > before || (marks.length > 0 && countOf(marks) === marks.length);
}

await mergeOffline({
  recipeText: readFileSync(recipePath, 'utf8'),
  recipePath,
  outDir,
  threads: 2,
  tileElements: 128,
  version: 'test',
  progressIntervalMs: 1,
  journalIntervalMs: 1,
  onProgress: ({ doneBytes, resumedBytes }) => {
    writeSync(1, `${doneBytes} ${resumedBytes}\n`);
    if (doneBytes >= Number(killAtBytes) && worthKilling()) process.kill(process.pid, 'SIGKILL');
  },
});
