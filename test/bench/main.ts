/** `npm run bench -- NAME [options]`: every number we publish comes from here. */
import { benchCompress } from './compress.js';
import { benchDigitsFront } from './digits-front.js';
import { benchMerge } from './merge.js';
import { benchPareto } from './pareto.js';
import { benchPeers } from './peers.js';
import { benchProducts } from './products.js';
import { benchQueries } from './queries.js';
import { benchSpectral } from './spectral.js';
import { benchTransfer } from './transfer.js';

const BENCHES: Readonly<Record<string, (args: readonly string[]) => void | Promise<void>>> = {
  compress: benchCompress,
  'digits-front': benchDigitsFront,
  merge: benchMerge,
  pareto: benchPareto,
  peers: benchPeers,
  products: benchProducts,
  queries: benchQueries,
  spectral: benchSpectral,
  transfer: benchTransfer,
};

const [name = '', ...args] = process.argv.slice(2);
const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
if (bench === undefined) {
  console.error(`usage: npm run bench -- NAME [options]; NAME is one of ${Object.keys(BENCHES).join(', ')}`);
  process.exitCode = 2;
} else {
  await bench(args);
}
