/** Data folders of earlier versions open, with everything in them. */
import { join } from 'node:path';
import Libsql from 'libsql';
import { expect, it } from 'vitest';
import { openDatabase } from '../../coordinator/state/database.js';
import { MIGRATIONS } from '../../coordinator/state/migrations.js';
import { tempDir } from '../support/temp-dir.js';

const ROWS = `
  INSERT INTO manifests VALUES ('m', x'00', 1);
  INSERT INTO models VALUES ('base', 'base', NULL, 0, 'm', 'w', 1, 1, 1, 1);
  INSERT INTO rounds VALUES ('r', 'open', 'base', 'w', '', 0, 1, NULL, NULL, NULL, 1, 1);
  INSERT INTO contributions VALUES (7, 'r', 'alice', 'accepted', 'delta', 'm', 'w', NULL, 5, NULL, 1.5, 10, 4, 1, 2);
  INSERT INTO uploads VALUES ('u', 'committed', 'contribution', 'r', 'alice', 'm', 5, NULL, 10, 4, 7, 1, 1);
`;

it('the first schema becomes the present one', () => {
  const folder = tempDir();
  const old = new Libsql(join(folder, 'state.db'));
  old.exec(MIGRATIONS[0] ?? '');
  old.exec(ROWS);
  old.exec('PRAGMA user_version = 1');
  old.close();
  const db = openDatabase(folder);
  try {
    expect(db.prepare('SELECT * FROM contributions').all()).toMatchObject([
      { id: 7, contributor: 'alice', kind: 'delta', samples: 5, steps: null, norm: 1.5, sent_bytes: 4, updated_ms: 2 },
    ]);
    expect(db.prepare('PRAGMA foreign_key_check').all()).toEqual([]);
    const add = (id: number, contributor: string, kind: string): unknown =>
      db
        .prepare("INSERT INTO contributions VALUES (?, 'r', ?, 'accepted', ?, 'm', 'w', NULL, NULL, NULL, 0, 0, 0, 1, 1)")
        .run(id, contributor, kind);
    add(8, 'bob', 'lora');
    add(9, 'carol', 'low_rank');
    expect(() => add(10, 'dora', 'other')).toThrow(/CHECK/);
    expect(() => add(11, 'bob', 'lora')).toThrow(/UNIQUE/);
    // Studies and what belongs to them.
    db.exec("INSERT INTO studies VALUES ('r', 'evaluating', 0, NULL, 1, NULL)");
    expect(() => db.exec("INSERT INTO studies VALUES ('none', 'evaluating', 0, NULL, 1, NULL)")).toThrow(/FOREIGN KEY/);
    expect(() => db.exec("INSERT INTO materialisations VALUES ('m', 'r', 1, 'merging', NULL, 1, 1)")).toThrow(/FOREIGN KEY/);
    expect(() => db.prepare("UPDATE uploads SET contribution_id = 99 WHERE id = 'u'").run()).toThrow(/FOREIGN KEY/);
  } finally {
    db.close();
  }
});
