-- Who may use the web views: tokens by the SHA-256 of what their holders send, so that whoever reads the file has none.
CREATE TABLE tokens (
    namespace  TEXT NOT NULL,
    digest     TEXT NOT NULL,
    name       TEXT NOT NULL,
    scope      TEXT NOT NULL,
    created_at REAL NOT NULL,
    created_by TEXT NOT NULL,
    expires_at REAL,
    revoked_at REAL,
    revoked_by TEXT,
    PRIMARY KEY (namespace, digest)
) WITHOUT ROWID;

-- Browsers that have logged in with a token.
CREATE TABLE sessions (
    namespace  TEXT NOT NULL,
    digest     TEXT NOT NULL,
    token      TEXT NOT NULL,
    expires_at REAL NOT NULL,
    PRIMARY KEY (namespace, digest)
) WITHOUT ROWID;
