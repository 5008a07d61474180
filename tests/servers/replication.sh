#!/usr/bin/env bash
# A primary and a replica that follows it by GTID over verified TLS; both made by server.sh.
#
#   replication.sh join FLAVOUR PRIMARY_DIR PRIMARY_PORT REPLICA_DIR   (REPLICATION_PASSWORD)
#   replication.sh wait FLAVOUR PRIMARY_DIR REPLICA_DIR    the replica has all of the primary
#   replication.sh running FLAVOUR REPLICA_DIR             exits 0 if both threads run
#
# `join` may be repeated, for instance when the primary got another port.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/common.sh"

action="${1:?what to do}"
flavour="${2:?mariadb or mysql}"
shift 2

sql() { "$here/server.sh" sql "$flavour" "$@"; }

join() {
    local primary="$1" port="$2" replica="$3" password="${REPLICATION_PASSWORD:?}"
    sql "$primary" <<SQL
CREATE USER IF NOT EXISTS 'replication'@'%' IDENTIFIED BY '$password' REQUIRE SSL;
GRANT REPLICATION SLAVE ON *.* TO 'replication'@'%';
SQL
    case "$flavour" in
    mariadb)
        sql "$replica" <<SQL
STOP SLAVE;
CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=$port, MASTER_USER='replication',
    MASTER_PASSWORD='$password', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1,
    MASTER_SSL=1, MASTER_SSL_CA='$replica/certs/ca.crt', MASTER_SSL_VERIFY_SERVER_CERT=1;
START SLAVE;
SQL
        ;;
    mysql)
        sql "$replica" <<SQL
STOP REPLICA;
CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=$port, SOURCE_USER='replication',
    SOURCE_PASSWORD='$password', SOURCE_AUTO_POSITION=1, SOURCE_CONNECT_RETRY=1,
    SOURCE_SSL=1, SOURCE_SSL_CA='$replica/certs/ca.crt', SOURCE_SSL_VERIFY_SERVER_CERT=1;
START REPLICA;
SQL
        ;;
    esac
}

wait_for_replica() {
    local primary="$1" replica="$2" position reached
    case "$flavour" in
    mariadb)
        position="$(sql "$primary" --batch --skip-column-names --execute='SELECT @@gtid_binlog_pos')"
        reached="$(sql "$replica" --batch --skip-column-names --execute="SELECT MASTER_GTID_WAIT('$position', 120)")"
        ;;
    mysql)
        position="$(sql "$primary" --batch --skip-column-names --raw --execute='SELECT @@GLOBAL.gtid_executed')"
        reached="$(sql "$replica" --batch --skip-column-names \
            --execute="SELECT WAIT_FOR_EXECUTED_GTID_SET('${position//$'\n'/}', 120)")"
        ;;
    esac
    [ "$reached" = 0 ] || die "the replica did not follow its primary: $(status "$replica" | grep -i error:)"
}

status() {
    case "$flavour" in
    mariadb) sql "$1" --vertical --execute='SHOW SLAVE STATUS' ;;
    mysql) sql "$1" --vertical --execute='SHOW REPLICA STATUS' ;;
    esac
}

running() { [ "$(status "$1" | grep -cE '(Slave|Replica)_(IO|SQL)_Running: Yes')" -eq 2 ]; }

case "$action" in
join) join "$@" ;;
wait) wait_for_replica "$@" ;;
running) running "$@" ;;
*) die "unknown action $action" ;;
esac
