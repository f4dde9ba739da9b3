-- Who may ask over HTTP, and a chain of everything that was changed.

CREATE TABLE api_keys (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    digest     TEXT NOT NULL, -- sha256 of the key; the key itself is shown once and kept nowhere
    scopes     TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    revoked_at TEXT
);

CREATE TABLE audit (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at        TEXT NOT NULL,
    actor     TEXT NOT NULL,
    action    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    details   TEXT NOT NULL,
    before    TEXT NOT NULL, -- the hash of the entry before
    hash      TEXT NOT NULL,
    signature TEXT NOT NULL
);

CREATE TABLE audit_head (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    id        INTEGER NOT NULL,
    hash      TEXT NOT NULL,
    signature TEXT NOT NULL
);
