-- Answers that were asked to be kept, and files that come in parts.

CREATE TABLE stored_completions (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    model      TEXT NOT NULL,
    version    TEXT NOT NULL,
    metadata   TEXT NOT NULL,
    messages   TEXT NOT NULL, -- a list, as it was asked
    answer     TEXT NOT NULL, -- the whole object, as it was answered
    created_at TEXT NOT NULL
);

CREATE TABLE pending_uploads (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    filename   TEXT NOT NULL,
    purpose    TEXT NOT NULL,
    mime_type  TEXT NOT NULL,
    num_bytes  INTEGER NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('pending', 'completed', 'cancelled')),
    file_id    TEXT,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
);

CREATE TABLE upload_parts (
    id         TEXT PRIMARY KEY,
    upload_id  TEXT NOT NULL REFERENCES pending_uploads (id),
    num_bytes  INTEGER NOT NULL,
    created_at TEXT NOT NULL
);
