import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where the setup scripts put native engines: a folder of the user, which installing the package again leaves alone. */
export function enginesFolder(environment: Readonly<Record<string, string | undefined>>): string {
  const cache = environment['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return environment['TRIBUTARY_ENGINES'] || join(cache, 'tributary', 'engines');
}
