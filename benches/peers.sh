# shellcheck shell=bash
# Other proxies before the same replica, for benches/run to compare with: HAProxy from a package;
# MySQL Router, ProxySQL and MaxScale from PATH, or where MYSQLROUTER, PROXYSQL and MAXSCALE say.
# Each has two threads and no logs but what its job asks for, and no TLS on the replica's side.
# Sourced; uses $directory, $replica_port, both passwords, and the arrays door and pids of benches/run.

# The peers that there are, their ports and processes.
declare -A peer_port=() peer_pid=()
peers=()

# peer_program NAME: prints its path, if it is there.
peer_program() {
    local named="${1^^}"
    command -v "${!named:-$1}"
}

# peer_settings_NAME PORT: what it is told.
peer_settings_haproxy() {
    cat <<CONFIG
global
  maxconn 9000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen bench
  bind 127.0.0.1:$1
  server replica 127.0.0.1:$replica_port
CONFIG
}

# TLS ends at the router, as it does at readgate.
peer_settings_mysqlrouter() {
    local plugins
    plugins="$(dirname "$(dirname "$(readlink -f "$(peer_program mysqlrouter)")")")/lib/mysqlrouter/plugin"
    cat <<CONFIG
[DEFAULT]
plugin_folder=$plugins
logging_folder=$directory
runtime_folder=$directory
max_total_connections=9000
[logger]
level=warning
[io]
threads=2
[routing:bench]
bind_address=127.0.0.1
bind_port=$1
destinations=127.0.0.1:$replica_port
routing_strategy=first-available
protocol=classic
max_connections=9000
client_ssl_mode=PREFERRED
client_ssl_cert=$directory/replica/certs/readgate.crt
client_ssl_key=$directory/replica/certs/readgate.key
server_ssl_mode=DISABLED
CONFIG
}

# With what its users have for a read-only audit: rules that let reads through alone, and the log of
# events.
peer_settings_proxysql() {
    cat <<CONFIG
datadir="$directory/proxysql"
admin_variables = { admin_credentials="admin:$SHARED_PASSWORD"; mysql_ifaces="$directory/proxysql/admin.sock" }
mysql_variables = {
  threads=2; interfaces="127.0.0.1:$1"; max_connections=9000; monitor_enabled=false
  eventslog_filename="queries.log"; eventslog_default_log=1; eventslog_format=2
}
mysql_servers = ({ address="127.0.0.1"; port=$replica_port; hostgroup=0; max_connections=9000 })
mysql_users = ({ username="readonly_shared"; password="$SHARED_PASSWORD"; default_hostgroup=0 })
mysql_query_rules = (
  { rule_id=1; active=1; match_digest="^(SELECT|SHOW|SET|WITH)"; destination_hostgroup=0; apply=1 },
  { rule_id=2; active=1; match_digest="."; error_msg="only reads"; apply=1 }
)
CONFIG
}

peer_settings_maxscale() {
    cat <<CONFIG
[maxscale]
threads=2
admin_enabled=false
logdir=$directory/maxscale
datadir=$directory/maxscale
cachedir=$directory/maxscale
piddir=$directory/maxscale
persistdir=$directory/maxscale
[replica]
type=server
address=127.0.0.1
port=$replica_port
[watch]
type=monitor
module=mariadbmon
servers=replica
user=admin
password=$ADMIN_PASSWORD
[reads]
type=service
router=readconnroute
router_options=running
servers=replica
user=admin
password=$ADMIN_PASSWORD
[bench]
type=listener
service=reads
protocol=MariaDBClient
address=127.0.0.1
port=$1
CONFIG
}

# peer_command NAME PROGRAM FILE: sets the array command.
peer_command() {
    case "$1" in
    haproxy) command=("$2" -db -q -f "$3") ;;
    mysqlrouter) command=("$2" --config "$3") ;;
    proxysql) command=("$2" --foreground --initial --no-version-check --config "$3") ;;
    maxscale) command=("$2" --nodaemon --user="$(id -un)" --config="$3") ;;
    esac
}

# start_peers FIRST_PORT: all that are there. One that doesn't answer is named and left out.
start_peers() {
    local port="$1" name program command
    for name in haproxy mysqlrouter proxysql maxscale; do
        program="$(peer_program "$name")" || { echo "not here: $name" >&2; continue; }
        mkdir -p "$directory/$name"
        "peer_settings_$name" "$port" >"$directory/$name.cfg"
        peer_command "$name" "$program" "$directory/$name.cfg"
        "${door[@]}" "${command[@]}" >"$directory/$name.log" 2>&1 &
        pids+=("$!")
        peer_pid[$name]=$! peer_port[$name]=$port
        if answers "$port"; then
            peers+=("$name")
        else
            echo "$name does not answer:" >&2
            tail -n 5 "$directory/$name.log" >&2
        fi
        port=$((port + 1))
    done
}

# answers PORT: whether somebody listens there before five seconds are over.
answers() {
    for _ in $(seq 50); do
        (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.1
    done
    return 1
}
