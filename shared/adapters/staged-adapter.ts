/** An adapter folder that appears whole or not at all: made in a hidden folder beside its target, given its name by one rename. */
import { mkdir, rm } from 'node:fs/promises';
import type { ErrorCode } from '../errors/catalogue.js';
import { TributaryError, toTributaryError } from '../errors/tributary-error.js';
import { checkTarget, clearStaging, closeStaging, openStaging, publish, stagingFor } from '../merge/staging.js';

/** What a later run may not meet again. */
const PASSING: readonly ErrorCode[] = ['INTERRUPTED', 'DISK_FULL', 'IO_ERROR', 'OUTPUT_EXISTS'];

export interface AdapterFolders {
  /** Becomes the adapter. */
  readonly outputDir: string;
  /** Empty; goes when the work is done. */
  readonly workDir: string;
  /** Lasts over a killed run; for merges with a journal of their own. */
  readonly rootDir: string;
}

export interface StagingOptions {
  readonly force: boolean;
  /** A later run can go on with what one that was stopped leaves behind. */
  readonly resumes: boolean;
}

/** @throws OUTPUT_EXISTS, and what `body` throws; then there is no such folder */
export async function stageAdapter<T>(
  outputDir: string,
  { force, resumes }: StagingOptions,
  body: (folders: AdapterFolders) => Promise<T>,
): Promise<T> {
  await checkTarget(outputDir, force);
  const staging = stagingFor(outputDir);
  try {
    await openStaging(staging);
    try {
      await clearStaging(staging);
      await rm(staging.scratch, { recursive: true, force: true });
      await mkdir(staging.scratch);
      const result = await body({ outputDir: staging.output, workDir: staging.scratch, rootDir: staging.root });
      await publish(staging, outputDir, { durable: false, force });
      return result;
    } catch (error) {
      if (!resumes || (error instanceof TributaryError && !PASSING.includes(error.code)))
        await rm(staging.root, { recursive: true, force: true });
      throw error;
    } finally {
      await closeStaging(staging);
    }
  } catch (error) {
    throw toTributaryError(error, outputDir);
  }
}
