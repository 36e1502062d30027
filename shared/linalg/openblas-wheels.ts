/**
 * The OpenBLAS that Tributary installs for itself: the wheels of scipy-openblas32 on PyPI, which hold one shared library without dependencies and
 * LAPACK in it, for every processor the kernels that suit it. Version and digests are pinned here; who serves the file does not matter.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export const OPENBLAS_PROJECT = 'scipy-openblas32';
export const OPENBLAS_VERSION = '0.3.34.481.3';
/** What the names of its functions begin with. */
export const OPENBLAS_PREFIX = 'scipy_';

export interface Wheel {
  readonly file: string;
  readonly sha256: string;
  /** The shared library in it. */
  readonly library: string;
}

/** Node's platform and architecture; `musl` for Linux without glibc. */
export interface Platform {
  readonly platform: string;
  readonly arch: string;
  readonly musl: boolean;
}

const SO = 'scipy_openblas32/lib/libscipy_openblas.so';
const DYLIB = 'scipy_openblas32/lib/libscipy_openblas.dylib';

const wheel = (tags: string, sha256: string, library: string): Wheel => ({
  file: `scipy_openblas32-${OPENBLAS_VERSION}-py3-none-${tags}.whl`,
  sha256,
  library,
});

const WHEELS: Readonly<Record<string, Wheel>> = {
  'linux-x64': wheel('manylinux_2_27_x86_64.manylinux_2_28_x86_64', '0595f94cd58c1f8a0d90c975621f4587337a003916b1979e834ebdf2cb5d9504', SO),
  'linux-arm64': wheel(
    'manylinux_2_27_aarch64.manylinux_2_28_aarch64',
    'e085dddbc5b9aa130f83def515d31c440e69f387a90c7e63b154a5575b4466bc',
    SO,
  ),
  'linux-x64-musl': wheel('musllinux_1_2_x86_64', '46fac855d3c05004f9ee111eeeeb0aeb076c6411fc6f87c34a49b8ba729c4c38', SO),
  'linux-arm64-musl': wheel('musllinux_1_2_aarch64', '88b00ba6a232fe958695403f6f71858fb23c3c9ce561c467e787e5d46ace16ca', SO),
  'darwin-x64': wheel('macosx_10_13_x86_64', '85d42ee10fd207ed6014273dcb9236ab1a65d21357f278b3aa0a78e8189665a8', DYLIB),
  'darwin-arm64': wheel('macosx_11_0_arm64', '813bb8101da2f64555c4a5e71c3714539d92b0b4f1841ec12b80d50e56cde46c', DYLIB),
  'win32-x64': wheel(
    'win_amd64',
    '963e311354df08856c22aad17d77209448d2d8fc3bc4b3b1d87912828797cf13',
    'scipy_openblas32/lib/libscipy_openblas.dll',
  ),
  'win32-arm64': wheel(
    'win_arm64',
    '64b1637b1c0495552351743e6f5d8bb50828aaea5821bb8d998927837256bda9',
    'scipy_openblas32/lib/scipy_openblas.dll',
  ),
};

/** Nothing where there is no wheel for this platform. */
export function wheelFor({ platform, arch, musl }: Platform): Wheel | undefined {
  return WHEELS[`${platform}-${arch}${platform === 'linux' && musl ? '-musl' : ''}`];
}

/** Where OpenBLAS is installed; the platform is in the name because homes are shared between machines. */
export function openblasFolder(enginesFolder: string, { platform, arch }: Omit<Platform, 'musl'>): string {
  return join(enginesFolder, `openblas-${OPENBLAS_VERSION}-${platform}-${arch}`);
}

/** Path of the library that is installed there, if one is. */
export function installedOpenblas(enginesFolder: string, platform: Omit<Platform, 'musl'>): string | undefined {
  const library = wheelFor({ ...platform, musl: false })?.library;
  if (library === undefined) return undefined;
  const path = join(openblasFolder(enginesFolder, platform), libraryName(library));
  return existsSync(path) ? path : undefined;
}

/** The last part of a path in a wheel. */
export const libraryName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
