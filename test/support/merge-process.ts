/** A merge in a process of its own, in tiny tiles: prints `doneBytes resumedBytes` as it goes. Arguments: recipe, output folder. */
import { readFileSync, writeSync } from 'node:fs';
import { mergeOffline } from '../../client/merge/merge-offline.js';

const [recipePath = '', outDir = ''] = process.argv.slice(2);
await mergeOffline({
  recipeText: readFileSync(recipePath, 'utf8'),
  recipePath,
  outDir,
  threads: 2,
  tileElements: 128,
  version: 'test',
  progressIntervalMs: 1,
  journalIntervalMs: 1,
  onProgress: ({ doneBytes, resumedBytes }) => writeSync(1, `${doneBytes} ${resumedBytes}\n`),
});
