/** What `npm run bench -- merge` starts where the command line is not built: a merge as a whole process. Arguments: recipe, output folder. */
import { readFileSync } from 'node:fs';
import { mergeOffline } from '../../client/merge/merge-offline.js';

const [recipePath = '', outDir = ''] = process.argv.slice(2);
await mergeOffline({ recipeText: readFileSync(recipePath, 'utf8'), recipePath, outDir, version: 'bench' });
