/**
 * Measurements that the coordinator has not acknowledged, one file each in the work folder: written before the first try to report, removed after its
 * answer. An agent that is stopped, killed or gives up loses none; the next one in this folder reports them.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';

const measurementSchema = z.object({
  /** Address of the coordinator that wanted it. */
  server: z.string(),
  agent: z.string(),
  /** studyIdentity. */
  study: z.string(),
  round: z.string(),
  candidate: z.int().min(0),
  task: z.string(),
  metric: z.string(),
  leaseId: z.string(),
  /** ISO 8601. */
  measuredAt: z.string(),
  outcome: z.object({
    value: z.number(),
    count: z.number().optional(),
    standardError: z.number().optional(),
    metrics: z.record(z.string(), z.number()),
    gradient: z.array(z.number()).optional(),
  }),
});

export type Measurement = z.infer<typeof measurementSchema>;

export interface KeptMeasurement {
  readonly path: string;
  readonly measurement: Measurement;
}

export interface Unreported {
  readonly folder: string;
  /** On stable storage when it returns. @throws DISK_FULL, IO_ERROR */
  keep(measurement: Measurement): Promise<KeptMeasurement>;
  forget(kept: KeptMeasurement): Promise<void>;
  /** Oldest first. Files that are none of ours are left alone. */
  list(): Promise<KeptMeasurement[]>;
}

const ENDING = '.json';

/** One name for one pair of one study. */
function fileName({ study, round, candidate, task }: Measurement): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([study, candidate, task]))
    .digest('hex');
  return `${encodeURIComponent(round).slice(0, 80)}-${candidate}-${digest.slice(0, 16)}${ENDING}`;
}

async function readOne(path: string): Promise<KeptMeasurement | undefined> {
  try {
    return { path, measurement: measurementSchema.parse(JSON.parse(await readFile(path, 'utf8'))) };
  } catch {
    return undefined;
  }
}

export function openUnreported(folder: string): Unreported {
  return {
    folder,
    async keep(measurement) {
      const path = join(folder, fileName(measurement));
      const partial = `${path}.partial`;
      try {
        await mkdir(folder, { recursive: true });
        const file = await open(partial, 'w');
        try {
          await file.writeFile(`${JSON.stringify(measurement, null, 2)}\n`);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(partial, path);
      } catch (error) {
        throw toTributaryError(error, path);
      }
      return { path, measurement };
    },
    async forget({ path }) {
      await rm(path, { force: true });
    },
    async list() {
      const names = (await readdir(folder).catch((): string[] => [])).filter((name) => name.endsWith(ENDING));
      const read = await Promise.all(names.map((name) => readOne(join(folder, name))));
      return read
        .flatMap((kept) => (kept === undefined ? [] : [kept]))
        .sort((a, b) => (a.measurement.measuredAt < b.measurement.measuredAt ? -1 : 1));
    },
  };
}

/** Of what was not reported an error names so many pairs. */
const MOST_NAMED = 5;

/** What an agent that gave up says: which measurements the coordinator does not know, and where they are. Other errors stay as they are. */
export function withUnreported(failure: unknown, left: readonly KeptMeasurement[], folder: string): unknown {
  if (!(failure instanceof TributaryError) || failure.code !== 'COORDINATOR_UNAVAILABLE') return failure;
  const pairs = left.slice(0, MOST_NAMED).map(({ measurement: { round, candidate, task } }) => `${round} candidate ${candidate} ${task}`);
  const more = left.length > MOST_NAMED ? ` and ${left.length - MOST_NAMED} more` : '';
  const what = `${failure.details.what}; measured and not reported: ${pairs.join(', ')}${more}`;
  const fix = 'Nothing is lost: the next agent in this work folder reports it.';
  return new TributaryError('COORDINATOR_UNAVAILABLE', { ...failure.details, what, where: folder, fix }, { cause: failure });
}
