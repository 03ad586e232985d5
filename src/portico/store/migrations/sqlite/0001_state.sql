-- Responses, conversations, event logs. `seq` grows with every row: it is the order in which
-- things were stored, and the rows of other tables point at it. Large columns come last, so that
-- reading the others does not go through them.

CREATE TABLE responses (
    seq INTEGER PRIMARY KEY,
    tenant BLOB NOT NULL,
    id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    status TEXT NOT NULL,
    model TEXT NOT NULL,
    output_at INTEGER NOT NULL,
    output_size INTEGER NOT NULL,
    parent TEXT,
    conversation TEXT,
    origin TEXT NOT NULL,
    kept INTEGER NOT NULL,
    context INTEGER NOT NULL,
    barrier INTEGER NOT NULL,
    background INTEGER NOT NULL,
    streamed INTEGER NOT NULL,
    owner TEXT,
    lease_until REAL,
    input BLOB NOT NULL,
    response BLOB NOT NULL
);
CREATE UNIQUE INDEX responses_id ON responses (tenant, id);
CREATE INDEX responses_parent ON responses (tenant, parent) WHERE parent IS NOT NULL;
CREATE INDEX responses_expiry ON responses (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX responses_lease ON responses (lease_until) WHERE owner IS NOT NULL;
CREATE INDEX responses_owner ON responses (owner) WHERE owner IS NOT NULL;

CREATE TABLE names (
    tenant BLOB NOT NULL,
    name TEXT NOT NULL,
    response INTEGER NOT NULL,
    PRIMARY KEY (tenant, name, response)
) WITHOUT ROWID;
CREATE INDEX names_response ON names (response);

CREATE TABLE events (
    response INTEGER NOT NULL,
    number INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (response, number)
) WITHOUT ROWID;

CREATE TABLE conversations (
    seq INTEGER PRIMARY KEY,
    tenant BLOB NOT NULL,
    id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    metadata BLOB NOT NULL
);
CREATE UNIQUE INDEX conversations_id ON conversations (tenant, id);

CREATE TABLE entries (
    seq INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL,
    tenant BLOB NOT NULL,
    id TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX entries_conversation ON entries (conversation);
CREATE INDEX entries_id ON entries (tenant, id);
