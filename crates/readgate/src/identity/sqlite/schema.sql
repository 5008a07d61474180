-- Version 1. Times are RFC 3339 texts in UTC, days are ISO 8601 dates.
CREATE TABLE user (
    name        TEXT PRIMARY KEY,
    full_name   TEXT NOT NULL,
    email       TEXT,
    owner       TEXT,
    role        TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('enabled', 'disabled')),
    valid_from  TEXT,
    valid_until TEXT,
    plugins     TEXT NOT NULL,
    sources     TEXT,
    connections INTEGER CHECK (connections >= 0)
) STRICT;

CREATE TABLE credential (
    user       TEXT NOT NULL REFERENCES user (name),
    id         INTEGER NOT NULL,
    sha2       TEXT,
    native     TEXT,
    stage      TEXT NOT NULL CHECK (stage IN ('pending', 'in_use', 'revoked')),
    until      TEXT,
    retires_at TEXT,
    PRIMARY KEY (user, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE change (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    at          TEXT NOT NULL,
    by          TEXT NOT NULL,
    reason      TEXT NOT NULL,
    user        TEXT REFERENCES user (name), -- NULL: to nobody, such as a review
    label       TEXT NOT NULL,
    differences TEXT NOT NULL
) STRICT;
CREATE INDEX change_of_user ON change (user, number);

-- Blocks of failed logins; "name" is hexadecimal, empty for every name of the source.
CREATE TABLE block (
    source TEXT NOT NULL,
    name   TEXT NOT NULL,
    until  TEXT NOT NULL,
    PRIMARY KEY (source, name)
) STRICT, WITHOUT ROWID;

-- Nobody disappears and nothing is rewritten, whoever opens the file.
CREATE TRIGGER user_stays BEFORE DELETE ON user
    BEGIN SELECT raise(ABORT, 'users are disabled, not deleted'); END;
CREATE TRIGGER credential_stays BEFORE DELETE ON credential
    BEGIN SELECT raise(ABORT, 'credentials are revoked, not deleted'); END;
CREATE TRIGGER change_stays BEFORE DELETE ON change
    BEGIN SELECT raise(ABORT, 'history is not deleted'); END;
CREATE TRIGGER change_is_final BEFORE UPDATE ON change
    BEGIN SELECT raise(ABORT, 'history is not changed'); END;
