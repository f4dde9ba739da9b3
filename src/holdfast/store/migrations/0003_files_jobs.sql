-- What the API keeps: files that were given, and orders to learn that wait for a worker.

CREATE TABLE uploads (
    position       INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT NOT NULL UNIQUE,
    filename       TEXT NOT NULL,
    purpose        TEXT NOT NULL,
    num_bytes      INTEGER NOT NULL,
    sha256         TEXT NOT NULL,
    status         TEXT NOT NULL CHECK (status IN ('uploaded', 'processed', 'error')),
    status_details TEXT,
    created_at     TEXT NOT NULL,
    expires_at     TEXT
);

CREATE TABLE jobs (
    position         INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT NOT NULL UNIQUE,
    status           TEXT NOT NULL,
    wanted           TEXT NOT NULL CHECK (wanted IN ('run', 'pause', 'cancel')),
    priority         INTEGER NOT NULL,
    request          TEXT NOT NULL, -- as it was asked for
    metadata         TEXT NOT NULL,
    recipe           TEXT NOT NULL,
    skill            TEXT NOT NULL,
    run_id           TEXT REFERENCES runs (id),
    version          TEXT REFERENCES versions (id),
    fine_tuned_model TEXT UNIQUE,
    result           TEXT NOT NULL, -- the verdict, the matrix, what became of the data
    error            TEXT,
    trained_tokens   INTEGER,
    attempts         INTEGER NOT NULL,
    leased_by        TEXT,
    leased_until     TEXT,
    created_at       TEXT NOT NULL,
    started_at       TEXT,
    finished_at      TEXT
);
CREATE INDEX jobs_by_status ON jobs (status);

CREATE TABLE job_events (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id  TEXT NOT NULL REFERENCES jobs (id),
    level   TEXT NOT NULL CHECK (level IN ('info', 'warn', 'error')),
    type    TEXT NOT NULL CHECK (type IN ('message', 'metrics')),
    message TEXT NOT NULL,
    data    TEXT NOT NULL,
    at      TEXT NOT NULL
);
CREATE INDEX job_events_by_job ON job_events (job_id);

CREATE TABLE job_checkpoints (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id       TEXT NOT NULL REFERENCES jobs (id),
    step         INTEGER NOT NULL,
    metrics      TEXT NOT NULL,
    weights_hash TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    UNIQUE (job_id, step)
);
