/** Carries out statistics passes: all tensors of a part ask for their next look, one job does them all, and so on until nobody asks. */
import type { WasmModule } from '../kernels/web-assembly.js';
import { unitsOf } from '../workers/look-tiles.js';
import type { WorkerPool } from '../workers/pool.js';
import type { LookTask, ProgramStatistics, TensorTask } from '../workers/program-job.js';
import { CONTROL, type Finding } from '../workers/protocol.js';
import type { SourceTable } from '../workers/source-table.js';
import { type LookRequest, type LookResult, type LookRoom, type Looks, NO_ROOM } from './look-requests.js';

export interface LookEnvironment {
  readonly pool: WorkerPool;
  readonly kernels: WasmModule;
  readonly signal?: AbortSignal | undefined;
  /** Where scratch paths of the plan lie. */
  readonly pathOf?: ((path: string) => string) | undefined;
  /** Called with the number of bytes of inputs that a pass is about to read, for progress. */
  readonly onPass?: ((tasks: readonly TensorTask[]) => void) | undefined;
}

export interface LookSources {
  readonly sources: SourceTable;
  readonly statistics: ProgramStatistics;
}

/** One task's request and the places that it was given. */
export interface PlacedRequest {
  readonly task: TensorTask;
  readonly request: LookRequest;
  readonly room: LookRoom;
}

/** Gives every request places of its own. */
export function placeRequests(requests: readonly { task: TensorTask; request: LookRequest }[]): PlacedRequest[] {
  const next = { ...NO_ROOM };
  return requests.map(({ task, request }) => {
    const room = { ...next };
    next.tables += request.room.tables;
    next.sums += request.room.sums;
    next.keys += request.room.keys;
    return { task, request, room };
  });
}

const shared = (bytes: number): SharedArrayBuffer => new SharedArrayBuffer(bytes);

/** Does one pass. @returns findings, or what each request asked for */
export async function performLooks(
  environment: LookEnvironment,
  { sources, statistics }: LookSources,
  placed: readonly PlacedRequest[],
): Promise<{ findings: readonly Finding[]; results: LookResult[] }> {
  const end = { ...NO_ROOM };
  for (const { request, room } of placed) {
    end.tables = Math.max(end.tables, room.tables + request.room.tables);
    end.sums = Math.max(end.sums, room.sums + request.room.sums);
    end.keys = Math.max(end.keys, room.keys + request.room.keys);
  }
  const buffers = {
    tables: new Uint32Array(shared(end.tables * 4)),
    lock: new Int32Array(shared(4)),
    sums: new Float64Array(shared(end.sums * 8)),
    keys: new Uint32Array(shared(end.keys * 4)),
  };
  const tasks: LookTask[] = [];
  let firstUnit = 0;
  for (const { task, request, room } of placed) {
    const look = request.look(room);
    const units = unitsOf(look, task);
    tasks.push({ task, look, firstUnit, units });
    firstUnit += units;
  }
  environment.onPass?.(placed.map(({ task }) => task));
  const findings = await environment.pool.run(
    {
      kind: 'look',
      control: new Int32Array(shared(CONTROL.slots * 4)),
      kernels: environment.kernels,
      sources,
      tasks,
      statistics,
      buffers,
    },
    { signal: environment.signal },
  );
  return {
    findings,
    results: placed.map(({ request, room }) => ({
      tables: buffers.tables.subarray(room.tables, room.tables + request.room.tables),
      sums: buffers.sums.subarray(room.sums, room.sums + request.room.sums),
      keys: buffers.keys.subarray(room.keys, room.keys + request.room.keys),
    })),
  };
}

/** Runs generators of looks, each for one tensor, pass by pass until all have ended. @returns findings that forbid an output */
export async function runLooks(
  environment: LookEnvironment,
  sources: LookSources,
  generators: readonly { readonly task: TensorTask; readonly looks: Looks }[],
): Promise<readonly Finding[]> {
  let open = generators.flatMap(({ task, looks }) => {
    const first = looks.next();
    return first.done === true ? [] : [{ task, looks, request: first.value }];
  });
  while (open.length > 0) {
    const { findings, results } = await performLooks(environment, sources, placeRequests(open));
    if (findings.length > 0) return findings;
    open = open.flatMap(({ task, looks }, index) => {
      const result = results[index];
      const next = result === undefined ? undefined : looks.next(result);
      return next === undefined || next.done === true ? [] : [{ task, looks, request: next.value }];
    });
  }
  return [];
}
