-- Responses, conversations, event logs. `seq` grows with every row, and the rows of other tables
-- point at it. Ids are compared byte by byte (collation "C").

CREATE TABLE responses (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant BYTEA NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    status TEXT NOT NULL,
    model TEXT NOT NULL,
    output_at INTEGER NOT NULL,
    output_size INTEGER NOT NULL,
    parent TEXT COLLATE "C",
    conversation TEXT COLLATE "C",
    origin TEXT NOT NULL,
    kept BOOLEAN NOT NULL,
    context BIGINT NOT NULL,
    barrier BOOLEAN NOT NULL,
    background BOOLEAN NOT NULL,
    streamed BOOLEAN NOT NULL,
    owner TEXT,
    lease_until DOUBLE PRECISION,
    input BYTEA NOT NULL,
    response BYTEA NOT NULL
);
CREATE UNIQUE INDEX responses_id ON responses (tenant, id);
CREATE INDEX responses_parent ON responses (tenant, parent) WHERE parent IS NOT NULL;
CREATE INDEX responses_expiry ON responses (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX responses_lease ON responses (lease_until) WHERE owner IS NOT NULL;
CREATE INDEX responses_owner ON responses (owner) WHERE owner IS NOT NULL;

CREATE TABLE names (
    tenant BYTEA NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    response BIGINT NOT NULL,
    PRIMARY KEY (tenant, name, response)
);
CREATE INDEX names_response ON names (response);

CREATE TABLE events (
    response BIGINT NOT NULL,
    number BIGINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (response, number)
);

CREATE TABLE conversations (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant BYTEA NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    metadata BYTEA NOT NULL
);
CREATE UNIQUE INDEX conversations_id ON conversations (tenant, id);

CREATE TABLE entries (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    conversation BIGINT NOT NULL,
    tenant BYTEA NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    body BYTEA NOT NULL
);
CREATE INDEX entries_conversation ON entries (conversation, seq);
CREATE INDEX entries_id ON entries (tenant, id);
