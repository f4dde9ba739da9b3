-- Responses that were kept, each with its own input and the response before it.

CREATE TABLE responses (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    model      TEXT NOT NULL,
    previous   TEXT, -- the id of the response that it goes on from
    metadata   TEXT NOT NULL,
    input      TEXT NOT NULL, -- a list of items
    response   TEXT NOT NULL, -- the whole object, as it was answered
    created_at TEXT NOT NULL
);
