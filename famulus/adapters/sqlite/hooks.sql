-- Which step a webhook lets go on, by the SHA-256 of its token.
CREATE TABLE hooks (
    namespace TEXT NOT NULL,
    digest    TEXT NOT NULL,
    run_id    TEXT NOT NULL,
    step_id   TEXT NOT NULL,
    PRIMARY KEY (namespace, digest)
) WITHOUT ROWID;

-- What all workers that share the file share and nobody else may know.
CREATE TABLE secrets (
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    value     BLOB NOT NULL,
    PRIMARY KEY (namespace, name)
) WITHOUT ROWID;
