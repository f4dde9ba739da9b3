-- Evaluations that were ordered over HTTP: what is asked and by which criteria, its runs, and every item of a run.

CREATE TABLE evals (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    config     TEXT NOT NULL, -- where items come from, and their schema
    criteria   TEXT NOT NULL, -- a list of graders, as they were given
    metadata   TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);

CREATE TABLE eval_runs (
    position     INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    eval_id      TEXT NOT NULL REFERENCES evals (id),
    name         TEXT NOT NULL,
    source       TEXT NOT NULL, -- the data source, as it was given
    metadata     TEXT NOT NULL,
    versions     TEXT NOT NULL, -- which version answers under which name, as it was when the run was ordered
    seed         INTEGER NOT NULL,
    num_items    INTEGER NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('queued', 'in_progress', 'completed', 'failed', 'canceled')),
    figures      TEXT NOT NULL, -- counts and tokens of the items that are done
    error        TEXT,
    leased_by    TEXT,
    leased_until TEXT,
    created_at   TEXT NOT NULL,
    started_at   TEXT,
    finished_at  TEXT
);
CREATE INDEX eval_runs_by_eval ON eval_runs (eval_id);
CREATE INDEX eval_runs_by_status ON eval_runs (status);

CREATE TABLE eval_items (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id       TEXT NOT NULL UNIQUE,
    run_id   TEXT NOT NULL REFERENCES eval_runs (id),
    number   INTEGER NOT NULL,
    item     TEXT NOT NULL,
    given    TEXT, -- the answer that came with the item
    problem  TEXT, -- why the item could not be read
    status   TEXT NOT NULL CHECK (status IN ('waiting', 'pass', 'fail', 'error')),
    sample   TEXT,
    results  TEXT,
    done_at  TEXT,
    UNIQUE (run_id, number)
);
