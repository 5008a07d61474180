-- Version 1. Times are RFC 3339 texts in UTC, days are ISO 8601 dates. Names are compared
-- byte by byte. readgate makes these tables if they are missing and its account may.
CREATE TABLE IF NOT EXISTS rg_store (
    one      TINYINT PRIMARY KEY CHECK (one = 1),
    version  INT NOT NULL,
    revision BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS rg_user (
    name        VARCHAR(32) PRIMARY KEY,
    full_name   TEXT NOT NULL,
    email       TEXT,
    owner       TEXT,
    role        VARCHAR(64) NOT NULL,
    status      VARCHAR(16) NOT NULL CHECK (status IN ('enabled', 'disabled')),
    valid_from  VARCHAR(32),
    valid_until VARCHAR(32),
    plugins     VARCHAR(255) NOT NULL,
    sources     MEDIUMTEXT,
    connections INT UNSIGNED
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS rg_credential (
    user       VARCHAR(32) NOT NULL,
    id         BIGINT NOT NULL,
    sha2       VARCHAR(255),
    native     VARCHAR(255),
    stage      VARCHAR(16) NOT NULL CHECK (stage IN ('pending', 'in_use', 'revoked')),
    until      VARCHAR(40),
    retires_at VARCHAR(40),
    PRIMARY KEY (user, id),
    FOREIGN KEY (user) REFERENCES rg_user (name)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS rg_change (
    number      BIGINT UNSIGNED PRIMARY KEY,
    at          VARCHAR(40) NOT NULL,
    author      TEXT NOT NULL,
    reason      TEXT NOT NULL,
    user        VARCHAR(32),
    label       VARCHAR(64) NOT NULL,
    differences MEDIUMTEXT NOT NULL,
    FOREIGN KEY (user) REFERENCES rg_user (name)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Blocks of failed logins; "name" is hexadecimal, empty for every name of the source.
CREATE TABLE IF NOT EXISTS rg_block (
    source VARCHAR(64) NOT NULL,
    name   VARCHAR(128) NOT NULL,
    until  VARCHAR(40) NOT NULL,
    PRIMARY KEY (source, name)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT IGNORE INTO rg_store (one, version, revision) VALUES (1, 1, 0);
