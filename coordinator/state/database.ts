/**
 * Opens the one SQLite file that is the truth for everything but bytes.
 * Invariants: one writer (the file is locked for as long as it is open, and a killed process frees it); a commit is on stable
 * storage when it returns (synchronous = FULL); the schema only moves forward, one numbered migration at a time.
 */
import { join } from 'node:path';
import Libsql from 'libsql';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { MIGRATIONS } from './migrations.js';

export type Database = InstanceType<typeof Libsql>;

export function openDatabase(dataDir: string): Database {
  const path = join(dataDir, 'state.db');
  const db = new Libsql(path);
  try {
    db.pragma('locking_mode = EXCLUSIVE');
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    // A table that others refer to is made anew by some migrations.
    db.pragma('foreign_keys = OFF');
    migrate(db, path);
    db.pragma('foreign_keys = ON');
  } catch (error) {
    db.close();
    if (error instanceof Error && /SQLITE_BUSY|database is locked/.test(`${(error as { code?: string }).code} ${error.message}`)) {
      throw new TributaryError(
        'DATA_DIR_LOCKED',
        { what: 'Another coordinator is using this data folder', where: dataDir, fix: 'Stop it, or start this one with another --data.' },
        { cause: error },
      );
    }
    throw error;
  }
  return db;
}

function migrate(db: Database, path: string): void {
  const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number };
  if (version > MIGRATIONS.length) {
    throw new TributaryError('CONFIG_INVALID', {
      what: 'The data folder was written by a newer Tributary',
      where: path,
      expected: `schema ${MIGRATIONS.length} or older`,
      got: `schema ${version}`,
      fix: 'Start the newer version, or use another --data.',
    });
  }
  inTransaction(db, () => {
    for (let next = version; next < MIGRATIONS.length; next++) db.exec(MIGRATIONS[next] as string);
    db.exec(`PRAGMA user_version = ${MIGRATIONS.length}`);
  });
}

/** Runs `body` in one transaction: all of it is durable when this returns, or none of it happened. Not to be nested. */
export function inTransaction<T>(db: Database, body: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = body();
    db.exec('COMMIT');
    return result;
  } catch (error) {
    rollBack(db);
    throw fullDisk(error) ?? error;
  }
}

function rollBack(db: Database): void {
  try {
    db.exec('ROLLBACK');
  } catch {
    // SQLite has rolled back by itself, as it does when the disk is full.
  }
}

/** SQLite says in codes of its own that a disk is full or a file may not grow. */
function fullDisk(error: unknown): TributaryError | undefined {
  if (!(error instanceof Error) || !/SQLITE_(?:FULL|IOERR_WRITE)/.test(`${(error as { code?: string }).code}`)) return undefined;
  const fix = 'Free some space and run the same command again; it resumes.';
  return new TributaryError('DISK_FULL', { what: 'The database of the coordinator cannot grow', fix }, { cause: error });
}
