import { describe, expect, it } from 'vitest';
import type { EnginesReport } from '../../client/cli/doctor-engines.js';
import { enginesFolder } from '../../shared/linalg/engines-folder.js';
import { findLapack } from '../../shared/linalg/find-lapack.js';
import { cliOk, errorOf, runCli } from '../support/cli.js';
import { engineIsRequired } from '../support/required-engines.js';
import { tempDir } from '../support/temp-dir.js';

interface DoctorJson {
  readonly linearAlgebra: EnginesReport;
}

const here = enginesFolder(process.env);
const hasLapack = 'choice' in findLapack({ enginesFolder: here, systemLibraries: [] });

describe('tributary doctor', () => {
  it('shows every engine, and without any installed says how to get one', async () => {
    const { linearAlgebra } = await cliOk<DoctorJson>(['doctor'], { home: tempDir() });
    expect(linearAlgebra.setting).toBe('auto');
    expect(linearAlgebra.engines.map(({ engine }) => engine)).toEqual(['tensorflow', 'lapack', 'portable']);
    for (const { loads, reason, gigaflops, library } of linearAlgebra.engines) {
      expect(loads ? library : reason).toBeTruthy();
      expect(loads).toBe(gigaflops !== null);
    }
    expect(linearAlgebra.advice.join('\n')).toContain('tributary doctor --fix');
  });

  it('shows that an engine asked for is not there, and goes on', async () => {
    const table = await runCli(['doctor', '--engine', 'tensorflow'], {
      home: tempDir(),
      format: 'table',
      env: { TRIBUTARY_ENGINES: tempDir() },
    });
    expect(table.code).toBe(0);
    expect(table.stdout).toMatch(/^engine {7}tensorflow: /m);
    expect(table.stdout).toMatch(/^ {2}lapack /m);
    const wrong = await runCli(['doctor'], { home: tempDir(), env: { TRIBUTARY_ENGINE: 'abacus' } });
    expect([wrong.code, errorOf(wrong).code]).toEqual([2, 'CONFIG_INVALID']);
  });

  it.skipIf(!hasLapack && !engineIsRequired('lapack'))('measures what is installed, and auto takes it', async () => {
    const { linearAlgebra } = await cliOk<DoctorJson>(['doctor', ...(hasLapack ? ['--fix'] : [])], {
      home: tempDir(),
      env: { TRIBUTARY_ENGINES: here },
    });
    const lapack = linearAlgebra.engines.find(({ engine }) => engine === 'lapack');
    expect(lapack).toMatchObject({ loads: true, device: 'cpu' });
    expect(lapack?.library).toMatch(/^OpenBLAS \d+\.\d+.* \(\w+ kernels\)$/);
    expect(lapack?.gigaflops?.f64).toBeGreaterThan(0);
    expect(linearAlgebra.takes).not.toBe('portable');
  });
});
