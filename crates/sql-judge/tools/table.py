#!/usr/bin/env python3
"""Writes src/functions/table.rs from what functions.py printed for both servers.

usage: table.py MYSQL_LIST MARIADB_LIST > ../src/functions/table.rs

What a function does is decided here, by hand: a built-in that is in no list below only
computes a value from its arguments and the session.
"""
import sys
import textwrap

EFFECTS = {
    "Lock": "GET_LOCK RELEASE_LOCK RELEASE_ALL_LOCKS",
    "Sleep": "SLEEP",
    # The rounds of crypt() and of a key's derivation are an argument, and nothing stops them. The
    # distance needs memory for each point of one line times each of the other.
    "Burn": "BENCHMARK ENCRYPT KDF SFORMAT ST_FRECHETDISTANCE ST_LINEINTERPOLATEPOINTS",
    "File": "LOAD_FILE",
    "Sequence": "NEXTVAL LASTVAL SETVAL",
    "Wait": "MASTER_POS_WAIT SOURCE_POS_WAIT MASTER_GTID_WAIT WAIT_FOR_EXECUTED_GTID_SET"
            " WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS WSREP_SYNC_WAIT_UPTO_GTID",
    "Admin": "ASYNCHRONOUS_CONNECTION_FAILOVER_ADD_MANAGED"
             " ASYNCHRONOUS_CONNECTION_FAILOVER_ADD_SOURCE"
             " ASYNCHRONOUS_CONNECTION_FAILOVER_DELETE_MANAGED"
             " ASYNCHRONOUS_CONNECTION_FAILOVER_DELETE_SOURCE"
             " ASYNCHRONOUS_CONNECTION_FAILOVER_RESET INNODB_REDO_LOG_SHARP_CHECKPOINT"
             " INNODB_SET_OPEN_FILES_LIMIT",
    # Pure, but the value may be several times longer than the arguments.
    "Growth": "HEX QUOTE TO_BASE64 REPEAT REPLACE REGEXP_REPLACE JSON_QUOTE LPAD RPAD SPACE"
              " EXPORT_SET INSERT AES_ENCRYPT REPLACE_ORACLE LPAD_ORACLE RPAD_ORACLE"
              " ST_ASGEOJSON ASWKT ST_ASWKT ASTEXT ST_ASTEXT CONCAT_WS GROUP_CONCAT",
}
# Words with a syntax of their own, which a plain call does not find: (MySQL, MariaDB).
# 1 callable, 2 also after white space, 4 also in backticks; since when: LATE in src/functions.rs.
SYNTAX = {name: (3, 3) for name in (
    "CONVERT GET_FORMAT TIMESTAMPADD TIMESTAMPDIFF JSON_TABLE JSON_VALUE DEFAULT VALUE MATCH"
    " ROW_NUMBER LAST_VALUE NEXTVAL LASTVAL SETVAL INSERT").split()}
# After white space these are names of stored functions to MariaDB.
SYNTAX |= {name: (3, 1) for name in (
    "RANK DENSE_RANK CUME_DIST PERCENT_RANK NTILE LEAD LAG FIRST_VALUE NTH_VALUE").split()}
SYNTAX |= {name: (1, 1) for name in "CAST EXTRACT POSITION DATE_ADD DATE_SUB".split()}
SYNTAX |= {name: (0, 1) for name in "MEDIAN PERCENTILE_CONT PERCENTILE_DISC".split()}
SYNTAX["COLUMN_GET"] = (0, 3)
# Built-ins of versions that were not at hand, Aurora's, and MySQL's that are now in a component.
OTHERS = {name: (7, 0) for name in
          "AURORA_VERSION WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS".split()}
OTHERS |= {name: (23, 7) for name in "MD5 SHA SHA1".split()}
OTHERS |= {name: (15, 0) for name in
           "CURRENT_ROLE_IN CURRENT_USER_IN ETAG FROM_VECTOR STRING_TO_VECTOR TO_VECTOR VECTOR_DIM"
           " VECTOR_TO_STRING".split()}
OTHERS |= {name: (0, 135) for name in
           "CRC32C JSON_EQUALS JSON_NORMALIZE JSON_OVERLAPS NATURAL_SORT_KEY RANDOM_BYTES"
           " SFORMAT".split()}
OTHERS |= {name: (0, 15) for name in
           "FORMAT_PICO_TIME JSON_ARRAY_INTERSECT JSON_KEY_VALUE JSON_OBJECT_FILTER_KEYS"
           " JSON_OBJECT_TO_ARRAY JSON_SCHEMA_VALID KDF".split()}
OTHERS |= {name: (0, 39) for name in
           "FORMAT_BYTES UUID_V4 UUID_V7 VEC_DISTANCE VEC_DISTANCE_COSINE"
           " VEC_DISTANCE_EUCLIDEAN VEC_FROMTEXT VEC_TOTEXT".split()}
OTHERS |= {name: (0, 71) for name in
           "ST_COLLECT ST_GEOHASH ST_ISVALID ST_LATFROMGEOHASH ST_LONGFROMGEOHASH"
           " ST_POINTFROMGEOHASH ST_SIMPLIFY ST_VALIDATE".split()}
# Since when MySQL 8.0 has them.
SINCE = {name: 32 for name in
         "FORMAT_BYTES FORMAT_PICO_TIME JSON_OVERLAPS JSON_SCHEMA_VALID"
         " JSON_SCHEMA_VALIDATION_REPORT PS_CURRENT_THREAD_ID PS_THREAD_ID ST_LATITUDE ST_LONGITUDE"
         " ST_TRANSFORM".split()}
SINCE |= {"JSON_VALUE": 64}
SINCE |= {name: 128 for name in
          "ST_COLLECT ST_FRECHETDISTANCE ST_HAUSDORFFDISTANCE ST_LINEINTERPOLATEPOINT"
          " ST_LINEINTERPOLATEPOINTS ST_POINTATDISTANCE".split()}
# What MySQL has since 9.7.4 at the latest.
SINCE |= {"VERSION_WITH_UPDATE": 512}
# What MariaDB has since 10.6.
LATER = set("ADD_MONTHS JSON_ARRAYAGG JSON_OBJECTAGG ROWNUM SYS_GUID TO_CHAR".split())
# Stored functions to MariaDB, unless the arguments have this shape.
SHAPES = {"POINT": "Pair", "JSON_TABLE": "Columns"} | {name: "Some" for name in (
    "GEOMETRYCOLLECTION LINESTRING MULTILINESTRING MULTIPOINT MULTIPOLYGON POLYGON").split()}
# Words that the grammar treats itself, and functions that users can't call.
OWN = set("""ALL DISTINCT DISTINCTROW NOT BINARY STRAIGHT_JOIN SQL_BIG_RESULT SQL_BUFFER_RESULT
SQL_CACHE SQL_CALC_FOUND_ROWS SQL_NO_CACHE SQL_SMALL_RESULT HIGH_PRIORITY UNIQUE ROW CHARACTER
CONVERT_CPU_ID_MASK
CONVERT_INTERVAL_TO_USER_INTERVAL REMOVE_DD_PROPERTY_KEY IS_VISIBLE_DD_OBJECT
GET_JDV_PROPERTY_KEY_VALUE""".split())
HIDDEN = ("INTERNAL_", "GET_DD_", "CAN_ACCESS_", "SQL_TSI_")

HEAD = '''//! The built-in functions of both servers. Made by `tools/table.py`: change it there.

use super::{Class, Shape};

/// Names that share how they may be written and what they do: bits for MySQL, bits for
/// MariaDB (1 callable, 2 also after white space, 4 also in backticks, 16 no more from MySQL 9.6 on,
/// the others as `LATE` has them), class, names.
#[rustfmt::skip]
pub(super) const GROUPS: &[(u16, u16, Class, &str)] = &['''


def read(path):
    found = {}
    for line in open(path):
        word, kind, *flags = line.split()
        if kind == "call":
            found[word] = 1 + 2 * ("space" in flags) + 4 * ("quoted" in flags)
    return found


def main(mysql_path, mariadb_path):
    mysql, mariadb = read(mysql_path), read(mariadb_path)
    effects = {name: kind for kind, names in EFFECTS.items() for name in names.split()}
    names = set(mysql) | set(mariadb) | set(SYNTAX) | set(OTHERS) | set(effects)
    groups = {}
    for name in sorted(names - OWN):
        if name.startswith(HIDDEN):
            continue
        bits = [mysql.get(name, 0), mariadb.get(name, 0)]
        for more in (SYNTAX.get(name), OTHERS.get(name)):
            if more:
                bits = [one | other for one, other in zip(bits, more)]
        bits = [bits[0] | SINCE.get(name, 0), bits[1] | 256 * (name in LATER)]
        kind = effects.get(name, "Pure")
        if kind not in ("Pure", "Growth", "Burn"):
            bits = [7, 7]
        kind = f"Shaped(Shape::{SHAPES[name]})" if name in SHAPES else kind
        groups.setdefault((bits[0], bits[1], kind), []).append(name)
    print(HEAD)
    for (my, maria, kind), names in sorted(groups.items(), key=lambda item: (item[0][2], item[0])):
        lines = textwrap.wrap(" ".join(names), 90, break_on_hyphens=False)
        print(f"    ({my}, {maria}, Class::{kind}, \"" + " \\\n        ".join(lines) + "\"),")
    print("];")


if __name__ == "__main__":
    main(*sys.argv[1:])
