/** Numbered, append-only: migration i takes a database from schema i to i + 1. Times are Unix milliseconds, digests lower-case hex. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE manifests (
    digest TEXT PRIMARY KEY,
    bytes BLOB NOT NULL,
    created_ms INTEGER NOT NULL
  ) STRICT;

  -- Chunks too small to deserve a file.
  CREATE TABLE small_chunks (
    digest TEXT PRIMARY KEY,
    data BLOB NOT NULL,
    created_ms INTEGER NOT NULL
  ) STRICT;

  -- Chunks that lie inside a file of a published model; path is relative to the data folder.
  CREATE TABLE placed_chunks (
    digest TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    offset INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE models (
    name TEXT PRIMARY KEY,
    origin TEXT NOT NULL CHECK (origin IN ('base', 'round')),
    round TEXT,
    version INTEGER NOT NULL,
    manifest_digest TEXT NOT NULL REFERENCES manifests (digest),
    weights_digest TEXT NOT NULL,
    total_bytes INTEGER NOT NULL,
    tensors INTEGER NOT NULL,
    parameters INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE rounds (
    name TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('open', 'merging', 'published', 'failed', 'cancelled')),
    base_name TEXT NOT NULL REFERENCES models (name),
    base_digest TEXT NOT NULL,
    recipe TEXT NOT NULL,
    quorum INTEGER NOT NULL,
    min_contributions INTEGER NOT NULL,
    deadline_ms INTEGER,
    model TEXT REFERENCES models (name),
    error TEXT,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE contributions (
    id INTEGER PRIMARY KEY,
    round TEXT NOT NULL REFERENCES rounds (name),
    contributor TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('accepted', 'quarantined', 'withdrawn', 'superseded')),
    kind TEXT NOT NULL CHECK (kind IN ('full', 'delta')),
    manifest_digest TEXT NOT NULL REFERENCES manifests (digest),
    weights_digest TEXT NOT NULL,
    reason TEXT,
    samples INTEGER,
    steps INTEGER,
    norm REAL NOT NULL,
    total_bytes INTEGER NOT NULL,
    sent_bytes INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX contributions_by_round ON contributions (round, contributor);
  -- A contributor takes part in a round at most once.
  CREATE UNIQUE INDEX one_accepted ON contributions (round, contributor) WHERE status = 'accepted';

  CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('receiving', 'committed', 'refused', 'aborted')),
    target TEXT NOT NULL CHECK (target IN ('contribution', 'base')),
    -- Round name and contributor, or model name and ''.
    target_name TEXT NOT NULL,
    contributor TEXT NOT NULL,
    manifest_digest TEXT NOT NULL REFERENCES manifests (digest),
    samples INTEGER,
    steps INTEGER,
    total_bytes INTEGER NOT NULL,
    -- What the coordinator lacked when the upload was opened.
    missing_bytes INTEGER NOT NULL,
    contribution_id INTEGER REFERENCES contributions (id),
    touched_ms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX one_open_upload ON uploads (target, target_name, contributor, manifest_digest) WHERE state = 'receiving';

  -- Every change of a round or contribution, in the transaction that made it.
  CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    round TEXT NOT NULL REFERENCES rounds (name),
    type TEXT NOT NULL,
    contributor TEXT NOT NULL,
    at_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX events_by_round ON events (round, seq);
  `,
  // Contributions of factors: a check cannot be changed in place.
  `
  CREATE TABLE contributions_2 (
    id INTEGER PRIMARY KEY,
    round TEXT NOT NULL REFERENCES rounds (name),
    contributor TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('accepted', 'quarantined', 'withdrawn', 'superseded')),
    kind TEXT NOT NULL CHECK (kind IN ('full', 'delta', 'lora', 'low_rank')),
    manifest_digest TEXT NOT NULL REFERENCES manifests (digest),
    weights_digest TEXT NOT NULL,
    reason TEXT,
    samples INTEGER,
    steps INTEGER,
    norm REAL NOT NULL,
    total_bytes INTEGER NOT NULL,
    sent_bytes INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
  ) STRICT;
  INSERT INTO contributions_2 SELECT id, round, contributor, status, kind, manifest_digest, weights_digest, reason, samples, steps, norm,
    total_bytes, sent_bytes, created_ms, updated_ms FROM contributions;
  DROP TABLE contributions;
  ALTER TABLE contributions_2 RENAME TO contributions;
  CREATE INDEX contributions_by_round ON contributions (round, contributor);
  CREATE UNIQUE INDEX one_accepted ON contributions (round, contributor) WHERE status = 'accepted';
  `,
  // Studies: candidates of a round whose recipe has a map block, and what agents measured.
  `
  CREATE TABLE studies (
    round TEXT PRIMARY KEY REFERENCES rounds (name),
    state TEXT NOT NULL CHECK (state IN ('evaluating', 'complete', 'stopped')),
    -- How many were proposed.
    batches INTEGER NOT NULL,
    -- Why no next batch could be computed.
    error TEXT,
    created_ms INTEGER NOT NULL,
    ended_ms INTEGER
  ) STRICT;

  CREATE TABLE candidates (
    round TEXT NOT NULL REFERENCES studies (round),
    id INTEGER NOT NULL,
    -- -1: chosen by a person, unseen by the design.
    batch INTEGER NOT NULL,
    kind TEXT NOT NULL,
    label TEXT,
    -- JSON, in the order of the study's dimensions.
    coefficients TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (round, id)
  ) STRICT, WITHOUT ROWID;

  -- (candidate, task) pairs that are wanted; task is its number in the study.
  CREATE TABLE evaluations (
    round TEXT NOT NULL,
    candidate INTEGER NOT NULL,
    task INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'leased', 'done', 'failed')),
    -- Leases so far, and how many of them ended with a failure.
    attempts INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    -- Whether another candidate was measured in this task after this one first failed: its failures are its own then, and not the evaluator's.
    blamed INTEGER NOT NULL DEFAULT 0 CHECK (blamed IN (0, 1)),
    -- The last lease and who had it; of a measurement: who brought it.
    lease TEXT,
    agent TEXT,
    expires_ms INTEGER,
    value REAL,
    count INTEGER,
    standard_error REAL,
    metrics TEXT,
    gradient TEXT,
    reported_ms INTEGER,
    error TEXT,
    PRIMARY KEY (round, candidate, task),
    FOREIGN KEY (round, candidate) REFERENCES candidates (round, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX evaluations_to_do ON evaluations (round, candidate) WHERE status IN ('open', 'leased');
  CREATE INDEX evaluations_leased ON evaluations (lease) WHERE status = 'leased';

  -- The last finished fit of a study.
  CREATE TABLE fits (
    round TEXT PRIMARY KEY REFERENCES studies (round),
    version INTEGER NOT NULL,
    -- JSON without covariances, which lie behind one another as doubles.
    fit TEXT NOT NULL,
    covariances BLOB NOT NULL,
    fitted_ms INTEGER NOT NULL
  ) STRICT;

  -- Points that are measured, merged and published as models.
  CREATE TABLE materialisations (
    name TEXT PRIMARY KEY,
    round TEXT NOT NULL REFERENCES studies (round),
    candidate INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('evaluating', 'merging', 'published', 'failed')),
    error TEXT,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    FOREIGN KEY (round, candidate) REFERENCES candidates (round, id)
  ) STRICT;
  CREATE INDEX materialisations_by_candidate ON materialisations (round, candidate);
  `,
];
