-- Whose key it is, whose job, and which other projects may ask a fine-tuned model.

ALTER TABLE api_keys ADD COLUMN project TEXT; -- none: it sees all

ALTER TABLE jobs ADD COLUMN project TEXT; -- of the key that ordered it

CREATE TABLE checkpoint_permissions (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    checkpoint TEXT NOT NULL, -- the name of a fine-tuned model, or of one of its checkpoints
    project    TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (checkpoint, project)
);
