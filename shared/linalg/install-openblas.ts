/**
 * Installs OpenBLAS into a folder of the user: one file of a package index, checked against a pinned digest, of which the library and its licence
 * are kept. Whatever goes wrong leaves nothing behind; what is there already is left as it is.
 */
import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { TributaryError } from '../errors/tributary-error.js';
import {
  installedOpenblas,
  libraryName,
  OPENBLAS_PROJECT,
  OPENBLAS_VERSION,
  openblasFolder,
  type Wheel,
  wheelFor,
} from './openblas-wheels.js';
import { readWheelEntries } from './wheel-entries.js';

export interface InstallOptions {
  readonly enginesFolder: string;
  /** Root of a simple package index (PEP 503); default: PyPI. */
  readonly indexUrl?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Default: what PyPI has for this machine. */
  readonly wheel?: Wheel | undefined;
  /** A word about what takes a while. */
  readonly note?: ((text: string) => void) | undefined;
}

export interface InstalledOpenblas {
  readonly library: string;
  /** It was there before. */
  readonly already: boolean;
}

const PYPI = 'https://pypi.org/simple';
/** Without a byte for this long, a server is taken for dead. */
const PATIENCE_MS = 120_000;

/** @throws ENGINE_UNAVAILABLE when there is none for this platform or it cannot be fetched; DIGEST_MISMATCH when another file was served */
export async function installOpenblas(options: InstallOptions): Promise<InstalledOpenblas> {
  const { enginesFolder, note = () => {} } = options;
  const there = installedOpenblas(enginesFolder, process);
  if (there !== undefined) return { library: there, already: true };
  const wheel = options.wheel ?? wheelOfThisMachine();
  note(`fetching OpenBLAS ${OPENBLAS_VERSION} (${wheel.file})`);
  const archive = await fetchWheel(wheel, options);
  const digest = createHash('sha256').update(archive).digest('hex');
  if (digest !== wheel.sha256) {
    throw new TributaryError('DIGEST_MISMATCH', {
      what: 'The package index served another file than the one that was checked',
      where: wheel.file,
      expected: `SHA-256 ${wheel.sha256}`,
      got: digest,
      fix: 'Nothing was installed. Try another index (PIP_INDEX_URL).',
    });
  }
  const entries = readWheelEntries(archive, (name) => name === wheel.library || /\.dist-info\/.*LICEN[CS]E/.test(name));
  if (!entries.has(wheel.library))
    throw new TributaryError('ENGINE_UNAVAILABLE', { what: `The wheel has no ${wheel.library}`, where: wheel.file });
  const folder = openblasFolder(enginesFolder, process);
  placeFolder(folder, entries);
  return { library: join(folder, libraryName(wheel.library)), already: false };
}

function wheelOfThisMachine(): Wheel {
  const wheel = wheelFor({ platform: process.platform, arch: process.arch, musl: process.platform === 'linux' && !runsOnGlibc() });
  if (wheel !== undefined) return wheel;
  throw new TributaryError('ENGINE_UNAVAILABLE', {
    what: `There is no OpenBLAS to install for ${process.platform} ${process.arch}`,
    fix: 'Install it with the package manager of the system (libopenblas); it is found by itself.',
  });
}

function runsOnGlibc(): boolean {
  const report = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  return report.header.glibcVersionRuntime !== undefined;
}

async function fetchWheel(wheel: Wheel, options: InstallOptions): Promise<Buffer> {
  const index = (options.indexUrl ?? PYPI).replace(/\/+$/, '');
  try {
    return await fetchFromIndex(`${index}/${OPENBLAS_PROJECT}/`, wheel, options.signal);
  } catch (error) {
    options.signal?.throwIfAborted();
    options.note?.(`${reasonOf(error)}; trying pip`);
    // pip knows the proxies and certificates of this machine better than we do.
    const archive = await fetchWithPip(wheel, index, options.signal).catch((pipError: unknown) => reasonOf(pipError));
    if (typeof archive !== 'string') return archive;
    options.signal?.throwIfAborted();
    throw new TributaryError(
      'ENGINE_UNAVAILABLE',
      {
        what: 'OpenBLAS cannot be fetched',
        where: `${index}/${OPENBLAS_PROJECT}/`,
        got: `${reasonOf(error)}; pip: ${archive}`,
        fix: 'Set PIP_INDEX_URL to an index that can be reached, or install libopenblas with the package manager of the system.',
      },
      { cause: error },
    );
  }
}

async function fetchFromIndex(page: string, wheel: Wheel, signal: AbortSignal | undefined): Promise<Buffer> {
  const listing = (await get(page, signal)).toString('utf8');
  const link = [...listing.matchAll(/href="([^"]*)"/g)]
    .map(([, href]) => (href as string).replaceAll('&amp;', '&'))
    .find((href) => {
      const { pathname } = new URL(href, page);
      return libraryName(decodeURIComponent(pathname)) === wheel.file;
    });
  if (link === undefined) throw new Error(`${page} does not list ${wheel.file}`);
  return get(new URL(link, page).href, signal);
}

async function get(url: string, signal: AbortSignal | undefined): Promise<Buffer> {
  const stop = AbortSignal.any([AbortSignal.timeout(PATIENCE_MS), ...(signal === undefined ? [] : [signal])]);
  const response = await fetch(url, { signal: stop });
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
  return Buffer.from(await response.arrayBuffer());
}

async function fetchWithPip(wheel: Wheel, index: string, signal: AbortSignal | undefined): Promise<Buffer> {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-openblas-'));
  const tags = wheel.file.slice(wheel.file.indexOf('none-') + 5, -'.whl'.length);
  const platforms = tags.split('.').flatMap((tag) => ['--platform', tag]);
  const python = process.platform === 'win32' ? 'python' : 'python3';
  const what = ['--no-deps', '--only-binary=:all:', '--index-url', index, ...platforms, `${OPENBLAS_PROJECT}==${OPENBLAS_VERSION}`];
  try {
    await promisify(execFile)(python, ['-m', 'pip', 'download', '--quiet', '--dest', folder, ...what], { timeout: PATIENCE_MS, signal });
    return readFileSync(join(folder, wheel.file));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Fills a folder beside the final one and renames it, so that the final one is whole or not there. */
function placeFolder(folder: string, entries: ReadonlyMap<string, Buffer>): void {
  const staging = `${folder}.${randomUUID()}`;
  mkdirSync(staging, { recursive: true });
  try {
    for (const [name, contents] of entries) writeFileSync(join(staging, libraryName(name)), contents);
    if (installedOpenblas(dirname(folder), process) !== undefined) return;
    // What is there has no library in it: no process of ours made it.
    rmSync(folder, { recursive: true, force: true });
    renameSync(staging, folder);
  } catch (error) {
    // Another process was quicker.
    if (installedOpenblas(dirname(folder), process) === undefined) throw error;
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function reasonOf(error: unknown): string {
  const { message, cause, stderr } = error as Error & { stderr?: string };
  if (stderr !== undefined && stderr !== '') return (stderr.trim().split('\n').at(-1) as string).trim();
  return cause instanceof Error && cause.message !== '' ? `${message} (${cause.message})` : (message.split('\n', 1)[0] as string);
}
