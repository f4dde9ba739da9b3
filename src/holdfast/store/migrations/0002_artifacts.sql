-- Things that cost time to make and may be used again, such as the reminders of a version: key -> content hash.

CREATE TABLE artifacts (
    key        TEXT PRIMARY KEY,
    hash       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    created_at TEXT NOT NULL
);
