import { createRequire } from 'node:module';

/** Version of this package, from its package.json (two folders up from dist/shared). */
export const VERSION: string = (createRequire(import.meta.url)('../../package.json') as { version: string }).version;
