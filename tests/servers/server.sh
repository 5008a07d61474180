#!/usr/bin/env bash
# One private MariaDB or MySQL server in a folder of its own; nothing of the machine's own
# server is touched. FLAVOUR is mariadb (the distribution's) or mysql (9.7, Debian unstable, or
# what READGATE_TEST_MYSQL names).
#
#   server.sh install FLAVOUR               get the programs
#   server.sh prepare FLAVOUR DIR           a fresh data folder under DIR
#   server.sh run FLAVOUR DIR PORT [FLAG]   the server, in the foreground (exec)
#   server.sh ready FLAVOUR DIR             exits 0 once it answers
#   server.sh sql FLAVOUR DIR [FLAG]        runs the SQL on standard input as root
#   server.sh accounts FLAVOUR              prints the SQL that makes the accounts, from
#                                           SHARED_PASSWORD and ADMIN_PASSWORD
#
# DIR/certs must hold ca.crt, replica.crt and replica.key before `run` (certificates.sh).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/common.sh"

flavour_install() {
    case "$flavour" in
    mariadb)
        command -v mariadbd >/dev/null || [ -x /usr/sbin/mariadbd ] || install_packages mariadb-server-core
        command -v mariadb >/dev/null || install_packages mariadb-client-core
        ;;
    mysql) [ -n "${READGATE_TEST_MYSQL:-}" ] || "$here/mysql-sid.sh" >/dev/null ;;
    *) die "unknown flavour $flavour: mariadb or mysql" ;;
    esac
}

# The three programs that are needed, called the same way for both flavours.
daemon() {
    case "$flavour" in
    mariadb) PATH="$PATH:/usr/sbin" exec mariadbd --no-defaults "$@" ;;
    mysql) exec "$mysql_tree/bin/mysqld" "$@" ;;
    esac
}

client() {
    case "$flavour" in
    mariadb) mariadb --no-defaults "$@" ;;
    mysql) "$mysql_tree/bin/mysql" "$@" ;;
    esac
}

daemon_version() { (daemon --version 2>/dev/null) | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1; }

# What both a template and a running server are started with: small, private, off the network.
small_flags() {
    echo --user="$(id -un)" --pid-file="$1/server.pid" --tmpdir="$1/tmp"
    case "$flavour" in
    mariadb) echo --innodb-log-file-size=48M --innodb-buffer-pool-size=128M --plugin-maturity=unknown ;;
    mysql) echo --mysqlx=OFF --innodb-redo-log-capacity=64M --innodb-buffer-pool-size=128M ;;
    esac
}

# A data folder just initialised, made once for each version and copied afterwards:
# initialising takes seconds, copying does not.
make_template() {
    local fresh="$1.new"
    rm -rf "$fresh"
    mkdir -p "$fresh/tmp"
    # shellcheck disable=SC2046  # the flags hold no blanks
    case "$flavour" in
    mariadb)
        mariadb-install-db --no-defaults --user="$(id -un)" --datadir="$fresh/data" --skip-test-db \
            --auth-root-authentication-method=normal --innodb-log-file-size=48M >"$fresh/log" 2>&1
        ;;
    mysql)
        (daemon $(small_flags "$fresh") --datadir="$fresh/data" --initialize-insecure >"$fresh/log" 2>&1)
        rm -f "$fresh/data/auto.cnf" # each copy makes an identity of its own
        ;;
    esac || {
        tail -n 20 "$fresh/log" >&2
        die "the data folder of $flavour could not be initialised"
    }
    mv "$fresh" "$1"
}

prepare() {
    local directory="$1" template
    template="$cache/datadir-$flavour-$(daemon_version)"
    mkdir -p "$cache" "$directory/tmp" "$directory/files"
    (
        flock 9
        [ -d "$template" ] || make_template "$template"
    ) 9>"$cache/datadir-$flavour.lock"
    rm -rf "$directory/data.new"
    cp -a --reflink=auto "$template/data" "$directory/data.new"
    mv "$directory/data.new" "$directory/data"
}

# The system allows some hundred bytes for the path of a socket.
socket_of() {
    local socket="$1/mysql.sock"
    [ "${#socket}" -le 100 ] || socket="/tmp/readgate-$(printf '%s' "$1" | sha256sum | cut -c 1-20).sock"
    echo "$socket"
}

run() {
    local directory="$1" port="$2"
    shift 2
    # shellcheck disable=SC2046  # the flags hold no blanks
    set -- $(small_flags "$directory") --datadir="$directory/data" --socket="$(socket_of "$directory")" \
        --port="$port" --bind-address=127.0.0.1 --skip-name-resolve \
        --log-error="$directory/error.log" --secure-file-priv="$directory/files" \
        --max-allowed-packet=128M --character-set-server=utf8mb4 \
        --ssl-ca="$directory/certs/ca.crt" --ssl-cert="$directory/certs/replica.crt" \
        --ssl-key="$directory/certs/replica.key" \
        --server-id="$port" --log-bin=binlog --binlog-format=ROW --sync-binlog=0 \
        --innodb-flush-log-at-trx-commit=2 "$@"
    case "$flavour" in
    mariadb) set -- "$@" --gtid-strict-mode=ON --innodb-flush-method=fsync ;;
    mysql) set -- "$@" --gtid-mode=ON --enforce-gtid-consistency=ON ;;
    esac
    cd "$directory"
    # The server ends with whoever started it, however that one ends.
    if command -v setpriv >/dev/null; then
        exec setpriv --pdeathsig "${SERVER_END_SIGNAL:-TERM}" "$here/server.sh" daemon "$flavour" "$@"
    fi
    daemon "$@"
}

sql() {
    local directory="$1"
    shift
    client --socket="$(socket_of "$directory")" --user=root --default-character-set=utf8mb4 "$@"
}

# The shared account holds exactly the rights that readgate is documented to need.
accounts() {
    local shared="${SHARED_PASSWORD:?}" admin="${ADMIN_PASSWORD:?}"
    # MariaDB's install leaves roots without a password that are not bound to the socket.
    [ "$flavour" = mysql ] ||
        echo "DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost'; FLUSH PRIVILEGES;"
    cat <<SQL
CREATE USER IF NOT EXISTS 'readonly_shared'@'%' IDENTIFIED BY '$shared' REQUIRE SSL;
GRANT SELECT, SHOW VIEW, PROCESS, SHOW DATABASES, REPLICATION CLIENT ON *.* TO 'readonly_shared'@'%';
CREATE USER IF NOT EXISTS 'admin'@'%' IDENTIFIED BY '$admin';
GRANT ALL PRIVILEGES ON *.* TO 'admin'@'%' WITH GRANT OPTION;
SQL
    # MariaDB has split it: how far the replica is behind is a right of its own.
    [ "$flavour" = mysql ] || echo "GRANT SLAVE MONITOR ON *.* TO 'readonly_shared'@'%';"
}

action="${1:?what to do}"
flavour="${2:?mariadb or mysql}"
shift 2
case "$action" in
install) flavour_install ;;
prepare) prepare "$@" ;;
run) run "$@" ;;
daemon) daemon "$@" ;;
ready) sql "$1" --batch --execute='DO 0' ;;
sql) sql "$@" ;;
accounts) accounts ;;
*) die "unknown action $action" ;;
esac
