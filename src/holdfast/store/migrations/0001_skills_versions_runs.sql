-- Times are UTC, ISO 8601 with microseconds. Mappings are JSON text with sorted keys.

CREATE TABLE skills (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL UNIQUE,
    train_hash  TEXT NOT NULL,
    test_hash   TEXT NOT NULL,
    grader      TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('chat', 'classify')),
    created_at  TEXT NOT NULL
);

CREATE TABLE versions (
    position     INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    parent       TEXT REFERENCES versions (id),
    base         TEXT NOT NULL,
    weights_hash TEXT NOT NULL,
    recipe       TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('candidate', 'accepted', 'refused')),
    skill        TEXT NOT NULL,
    facts        TEXT NOT NULL, -- seed, data hashes, environment
    created_at   TEXT NOT NULL
);

CREATE TABLE aliases (
    name     TEXT PRIMARY KEY,
    version  TEXT NOT NULL REFERENCES versions (id),
    moved_at TEXT NOT NULL
);

CREATE TABLE alias_moves (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    alias        TEXT NOT NULL,
    from_version TEXT REFERENCES versions (id),
    to_version   TEXT NOT NULL REFERENCES versions (id),
    kind         TEXT NOT NULL CHECK (kind IN ('promote', 'rollback')),
    moved_at     TEXT NOT NULL
);

CREATE TABLE runs (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    key         TEXT NOT NULL, -- same key: the same work, so an unfinished run of it is resumed
    kind        TEXT NOT NULL,
    skill       TEXT NOT NULL,
    state       TEXT NOT NULL,
    recipe      TEXT NOT NULL,
    details     TEXT NOT NULL, -- what the finished stages produced
    error       TEXT,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL,
    finished_at TEXT
);
CREATE INDEX runs_by_key ON runs (key);

CREATE TABLE steps (
    run_id      TEXT NOT NULL REFERENCES runs (id),
    step        INTEGER NOT NULL,
    loss        REAL NOT NULL,
    metrics     TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    PRIMARY KEY (run_id, step)
) WITHOUT ROWID;

CREATE TABLE events (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id  TEXT NOT NULL REFERENCES runs (id),
    level   TEXT NOT NULL CHECK (level IN ('info', 'warning', 'error')),
    message TEXT NOT NULL,
    data    TEXT NOT NULL,
    at      TEXT NOT NULL
);
CREATE INDEX events_by_run ON events (run_id);

CREATE TABLE scores (
    version     TEXT NOT NULL REFERENCES versions (id),
    skill       TEXT NOT NULL,
    test_hash   TEXT NOT NULL,
    position    INTEGER NOT NULL,
    item_id     TEXT NOT NULL,
    value       REAL NOT NULL CHECK (value BETWEEN 0 AND 1),
    passed      INTEGER NOT NULL,
    completion  TEXT NOT NULL,
    explanation TEXT NOT NULL,
    error_type  TEXT,
    PRIMARY KEY (version, skill, test_hash, item_id)
) WITHOUT ROWID;

CREATE TABLE verdicts (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    version    TEXT NOT NULL REFERENCES versions (id),
    against    TEXT REFERENCES versions (id),
    decision   TEXT NOT NULL CHECK (decision IN ('accept', 'reject', 'inconclusive')),
    details    TEXT NOT NULL,
    decided_at TEXT NOT NULL
);
CREATE INDEX verdicts_by_version ON verdicts (version);
