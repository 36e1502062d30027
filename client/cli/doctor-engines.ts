/** The linear algebra engines of this machine, each loaded and measured, and what would be faster. */
import { toTributaryError } from '../../shared/errors/tributary-error.js';
import { enginesFolder } from '../../shared/linalg/engines-folder.js';
import { findEngine, INSTALL_LAPACK } from '../../shared/linalg/find-engine.js';
import { installOpenblas } from '../../shared/linalg/install-openblas.js';
import type { EngineName } from '../../shared/linalg/linear-algebra.js';
import { ENGINES, type EngineSetting } from '../../shared/linalg/linear-algebra.js';
import { loadEngine } from '../../shared/linalg/load-engine.js';
import { type EngineSpeed, measureEngine } from '../../shared/linalg/measure-engine.js';
import { installedOpenblas } from '../../shared/linalg/openblas-wheels.js';

export interface EngineReport {
  readonly engine: EngineName;
  readonly loads: boolean;
  readonly device: string | null;
  readonly library: string | null;
  readonly gigaflops: EngineSpeed | null;
  /** Why it does not load. */
  readonly reason: string | null;
}

export interface EnginesReport {
  /** What the settings ask for. */
  readonly setting: EngineSetting;
  /** What commands take, and why; null when what was asked for does not load. */
  readonly takes: EngineName | null;
  readonly reason: string;
  readonly engines: readonly EngineReport[];
  /** What to do to be faster. */
  readonly advice: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

export async function inspectEngines(setting: EngineSetting, environment: Environment): Promise<EnginesReport> {
  const taken = await findEngine(setting, environment).catch((error: unknown) => toTributaryError(error));
  const engines: EngineReport[] = [];
  for (const name of ENGINES) engines.push(await inspect(name, environment));
  const failed = taken instanceof Error;
  return {
    setting,
    takes: failed ? null : taken.choice.engine,
    reason: failed ? taken.message : taken.reason,
    engines,
    advice: adviceFor(environment, failed ? [] : taken.notes),
  };
}

async function inspect(engine: EngineName, environment: Environment): Promise<EngineReport> {
  try {
    const { choice } = await findEngine(engine, environment);
    const loaded = await loadEngine(choice);
    return { engine, loads: true, device: loaded.device, library: loaded.library, gigaflops: measureEngine(loaded), reason: null };
  } catch (thrown) {
    const { what, got } = toTributaryError(thrown).details;
    return { engine, loads: false, device: null, library: null, gigaflops: null, reason: got ?? what };
  }
}

function adviceFor(environment: Environment, notes: readonly string[]): string[] {
  const advice = [...notes];
  const said = notes.some((note) => note.includes(INSTALL_LAPACK));
  if (!said && installedOpenblas(enginesFolder(environment), process) === undefined) advice.push(`${INSTALL_LAPACK} for the lapack engine`);
  const kernels = environment['OPENBLAS_CORETYPE'];
  if (kernels) advice.push(`OPENBLAS_CORETYPE=${kernels} is set; without it, OpenBLAS takes the kernels that suit this processor`);
  return advice;
}

export function engineLines({ setting, takes, reason, engines, advice }: EnginesReport): string[] {
  return [
    `engine       ${takes === null ? `${setting}: ${reason}` : `${setting === 'auto' ? 'auto takes ' : ''}${takes}: ${reason}`}`,
    ...engines.map((report) => `  ${report.engine.padEnd(11)}${describe(report)}`),
    ...advice.map((text) => `  ${'faster'.padEnd(11)}${text}`),
  ];
}

function describe({ engine, loads, device, library, gigaflops, reason }: EngineReport): string {
  if (!loads || gigaflops === null) return `does not load: ${reason}`;
  const threads = engine === 'tensorflow' ? '' : ', a thread';
  return `${device}, ${library}; products at ${gigaflops.f32.toFixed(0)} GFLOP/s in f32, ${gigaflops.f64.toFixed(0)} in f64${threads}`;
}

/** Installs what is missing. */
export async function fixEngines(environment: Environment, signal: AbortSignal, note: (text: string) => void): Promise<void> {
  const { library, already } = await installOpenblas({
    enginesFolder: enginesFolder(environment),
    indexUrl: environment['PIP_INDEX_URL'] || undefined,
    signal,
    note,
  });
  note(already ? `OpenBLAS is installed already: ${library}` : `installed ${library}`);
}
