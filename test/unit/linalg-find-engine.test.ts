import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadSettings } from '../../client/settings.js';
import { type EngineProbes, findEngine } from '../../shared/linalg/find-engine.js';
import { findLapack, kernelsOfProcessor } from '../../shared/linalg/find-lapack.js';
import { loadEngine } from '../../shared/linalg/load-engine.js';
import { libraryName, openblasFolder, wheelFor } from '../../shared/linalg/openblas-wheels.js';
import { expectError } from '../support/expect-error.js';
import { tempDir } from '../support/temp-dir.js';

const LAPACK = { engine: 'lapack', library: '/there/libblas.so', prefix: '' } as const;

/** A machine with these engines. */
function machine(has: { gpu?: boolean; tensorflow?: 'cpu' | 'gpu:0'; lapack?: boolean }): EngineProbes & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    gpuMayBeThere: () => has.gpu === true,
    tensorflow: async (folder, device) => {
      asked.push(`tensorflow ${device} in ${folder}`);
      if (has.tensorflow === undefined) return { reason: 'not installed' };
      if (device === 'gpu:0' && has.tensorflow === 'cpu') return { reason: 'no GPU in it' };
      return { packageName: 'tf', device: device ?? has.tensorflow, version: '2.21.0' };
    },
    lapack: async ({ enginesFolder, kernelsGiven }) => {
      asked.push(`lapack in ${enginesFolder}${kernelsGiven ? ', kernels given' : ''}`);
      return has.lapack === true ? { choice: LAPACK, description: 'OpenBLAS 1.2 (Z80 kernels)' } : { reason: 'no library' };
    },
  };
}

const ENVIRONMENT = { TRIBUTARY_ENGINES: '/engines' };

describe('engine: auto', () => {
  it('is TensorFlow where it has a GPU', async () => {
    const found = await findEngine('auto', ENVIRONMENT, machine({ gpu: true, tensorflow: 'gpu:0', lapack: true }));
    expect(found).toEqual({
      choice: { engine: 'tensorflow', packageName: 'tf', device: 'gpu:0' },
      device: 'gpu:0',
      library: 'libtensorflow 2.21.0',
      reason: 'TensorFlow computes on a GPU',
      notes: [],
    });
  });

  it('is lapack where there is no GPU, and TensorFlow is not even asked', async () => {
    const probes = machine({ tensorflow: 'cpu', lapack: true });
    const found = await findEngine('auto', ENVIRONMENT, probes);
    expect(found).toMatchObject({ choice: LAPACK, device: 'cpu', library: 'OpenBLAS 1.2 (Z80 kernels)', notes: [] });
    expect(probes.asked).toEqual(['lapack in /engines']);
  });

  it('says that a GPU is not used, and what would use it', async () => {
    const found = await findEngine('auto', ENVIRONMENT, machine({ gpu: true, tensorflow: 'cpu', lapack: true }));
    expect(found.choice.engine).toBe('lapack');
    expect(found.notes).toHaveLength(1);
    expect(found.notes[0]).toMatch(/GPU is not used.*no GPU in it.*setup:tensorflow/);
  });

  it('is TensorFlow on the processor before the portable engine', async () => {
    const found = await findEngine('auto', ENVIRONMENT, machine({ tensorflow: 'cpu' }));
    expect(found).toMatchObject({ choice: { engine: 'tensorflow', device: 'cpu' }, reason: 'no LAPACK loads' });
  });

  it('falls back to the portable engine aloud', async () => {
    const found = await findEngine('auto', ENVIRONMENT, machine({}));
    expect(found).toMatchObject({ choice: { engine: 'portable' }, device: 'cpu' });
    expect(found.notes).toHaveLength(1);
    expect(found.notes[0]).toContain('portable');
    expect(found.notes[0]).toContain('tributary doctor --fix');
  });

  it('knows where engines are installed, and whether kernels are given', async () => {
    const probes = machine({ lapack: true });
    await findEngine('auto', { XDG_CACHE_HOME: '/cache', OPENBLAS_CORETYPE: 'Zen' }, probes);
    expect(probes.asked).toEqual([`lapack in ${join('/cache', 'tributary', 'engines')}, kernels given`]);
  });
});

describe('an engine asked for by name', () => {
  it('is that one, whatever else there is', async () => {
    const all = machine({ gpu: true, tensorflow: 'gpu:0', lapack: true });
    for (const engine of ['tensorflow', 'lapack', 'portable'] as const) {
      expect(await findEngine(engine, ENVIRONMENT, all)).toMatchObject({ choice: { engine }, reason: 'it was asked for', notes: [] });
    }
  });

  it.each([
    ['lapack', 'tributary doctor --fix', 'no library'],
    ['tensorflow', 'npm run setup:tensorflow', 'not installed'],
  ] as const)('is an error when %s is not there, with the reason and what to do', async (engine, command, reason) => {
    const { details } = await expectError('ENGINE_UNAVAILABLE', () => findEngine(engine, ENVIRONMENT, machine({})));
    expect(details.what).toContain(engine);
    expect(details.got).toBe(reason);
    expect(details.fix).toContain(command);
  });
});

describe('looking for LAPACK', () => {
  const folder = tempDir();

  it('names what it tried', () => {
    const found = findLapack({ enginesFolder: folder, systemLibraries: ['/nowhere/libone.so', 'libtwo-of-no-system.so'] });
    expect(found).toEqual({ reason: 'OpenBLAS is not installed; no /nowhere/libone.so, libtwo-of-no-system.so of the system loads' });
  });

  it('goes on when what is installed does not load, and says so', () => {
    const library = libraryName(wheelFor({ platform: process.platform, arch: process.arch, musl: false })?.library ?? 'none');
    const path = join(openblasFolder(folder, process), library);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, 'not a library');
    const found = findLapack({ enginesFolder: folder, systemLibraries: [] }) as { reason: string };
    expect(found.reason).toMatch(/^The library does not load: .*libscipy_openblas/);
  });

  it('takes the kernels that the flags of the processor allow', () => {
    const flags = (text: string): ReadonlySet<string> => new Set(text.split(' '));
    expect(kernelsOfProcessor(flags('sse4_2 avx avx2 fma'))).toBe('Haswell');
    expect(kernelsOfProcessor(flags('avx2 fma avx512f avx512bw avx512cd avx512dq avx512vl'))).toBe('SkylakeX');
    expect(kernelsOfProcessor(flags('avx2 fma avx512f avx512cd'))).toBe('Haswell');
    expect(kernelsOfProcessor(flags('sse4_2 avx'))).toBeUndefined();
  });
});

describe('what was found', () => {
  it('is loaded in the thread that uses it, or refused there', async () => {
    await expectError('ENGINE_UNAVAILABLE', () => loadEngine({ engine: 'lapack', library: '/nowhere/libone.so', prefix: '' }));
    await expectError('ENGINE_UNAVAILABLE', () => loadEngine({ engine: 'tensorflow', packageName: 'no-such-package', device: 'cpu' }));
  });
});

describe('the engine setting', () => {
  const file = join(tempDir(), 'config.yaml');
  writeFileSync(file, 'engine: portable\n');
  const engine = (environment: Record<string, string>, flag?: 'auto' | 'lapack'): string =>
    loadSettings({ file, environment, flags: { engine: flag } }).engine;

  it('comes from the file, then the variable, then the flag', () => {
    expect(engine({})).toBe('portable');
    expect(engine({ TRIBUTARY_ENGINE: 'tensorflow' })).toBe('tensorflow');
    expect(engine({ TRIBUTARY_ENGINE: 'tensorflow' }, 'lapack')).toBe('lapack');
    expect(loadSettings({ environment: { XDG_CONFIG_HOME: '/nowhere' }, flags: {} }).engine).toBe('auto');
  });

  it('is one of those there are', async () => {
    const { details } = await expectError('CONFIG_INVALID', () => engine({ TRIBUTARY_ENGINE: 'abacus' }));
    expect(details.what).toMatch(/^engine: .*tensorflow.*lapack.*portable/);
  });
});
