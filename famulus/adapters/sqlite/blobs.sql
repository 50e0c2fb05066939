-- Values that are too large for a row, in pieces. A piece never changes.
CREATE TABLE blobs (
    namespace TEXT NOT NULL,
    run_id    TEXT NOT NULL,
    digest    TEXT NOT NULL,
    piece     INTEGER NOT NULL,
    data      BLOB NOT NULL,
    PRIMARY KEY (namespace, run_id, digest, piece)
);
