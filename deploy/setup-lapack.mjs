#!/usr/bin/env node
// Installs OpenBLAS for the lapack engine, as `tributary doctor --fix` does. Takes the code that `npm run build` made; needs nothing else.
import { enginesFolder } from '../dist/shared/linalg/engines-folder.js';
import { installOpenblas } from '../dist/shared/linalg/install-openblas.js';

try {
  const { library, already } = await installOpenblas({
    enginesFolder: enginesFolder(process.env),
    indexUrl: process.env.PIP_INDEX_URL || undefined,
    note: (text) => console.error(text),
  });
  console.log(already ? `already installed: ${library}` : `installed ${library}`);
} catch (error) {
  console.error(`${error.message} [${error.code ?? 'INTERNAL'}]`);
  process.exitCode = error.entry?.exit ?? 1;
}
