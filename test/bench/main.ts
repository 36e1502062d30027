/** `npm run bench -- NAME [options]`: every number we publish comes from here. */
import { benchCompress } from './compress.js';
import { benchMerge } from './merge.js';
import { benchPeers } from './peers.js';
import { benchProducts } from './products.js';
import { benchSpectral } from './spectral.js';
import { benchTransfer } from './transfer.js';

const BENCHES: Readonly<Record<string, (args: readonly string[]) => void | Promise<void>>> = {
  compress: benchCompress,
  merge: benchMerge,
  peers: benchPeers,
  products: benchProducts,
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
