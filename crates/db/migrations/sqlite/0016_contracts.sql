-- What checks of data against contracts came to; rows are only added. `told` is set once the contract's status and events
-- show it. `sha256` is the digest of the file, by which lineage knows it; empty if the file could not be read to its end.
CREATE TABLE contract_reports (
    no         INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    namespace  TEXT    NOT NULL,
    contract   TEXT    NOT NULL,
    outcome    TEXT    NOT NULL,
    sha256     TEXT    NOT NULL,
    report     TEXT    NOT NULL,
    created_by TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    told       INTEGER NOT NULL
);
CREATE INDEX contract_reports_by_contract ON contract_reports (namespace, contract, no);
CREATE INDEX contract_reports_by_digest ON contract_reports (namespace, sha256);
CREATE INDEX contract_reports_untold ON contract_reports (told) WHERE told = 0;
