# shellcheck shell=bash
# Shared by the scripts of this folder, by ./quickstart and by ./test; sourced, never run.
# Guarantees: messages go to stderr; nothing here writes outside the cache folder.

# shellcheck disable=SC2034  # for the scripts that source this file
cache="${XDG_CACHE_HOME:-$HOME/.cache}/readgate"
# Another MySQL than the one fetched: a folder with bin/mysqld, bin/mysql and bin/mysqldump.
mysql_tree="${READGATE_TEST_MYSQL:-$cache/mysql-sid}"

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# as_root COMMAND...: runs it as root, through sudo for anybody else.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root, and sudo is missing: $*"
    fi
}

# install_packages PACKAGE...: installs what is missing. Never removes anything: a machine
# that holds a conflicting server keeps it, and the reader gets apt's own words.
install_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "install these by hand, there is no apt here: ${missing[*]}"
    say "installing ${missing[*]}"
    # A new machine's own updates may hold apt's lock for minutes.
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300)
    local install=("${apt[@]}" install --no-install-recommends --no-remove)
    as_root "${install[@]}" "${missing[@]}" </dev/null >&2 && return 0
    as_root "${apt[@]}" update </dev/null >&2
    as_root "${install[@]}" "${missing[@]}" </dev/null >&2 || die "apt could not install ${missing[*]}"
}

# wait_until SECONDS COMMAND...: polls until the command succeeds or the time is over.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port WISH: prints the wish, or the next port above it that nobody listens on.
free_port() {
    local port
    for ((port = $1; port < $1 + 200; port++)); do
        if port_is_free "$port"; then
            echo "$port"
            return
        fi
    done
    die "no free port from $1 to $((port - 1))"
}

# http_status PORT PATH: the status code that a server on this machine answers with.
http_status() {
    local line
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&3
    read -r line <&3 || line=""
    exec 3<&- 3>&-
    line="${line#HTTP/* }"
    echo "${line%% *}"
}

http_is_ok() { [ "$(http_status "$1" "$2" 2>/dev/null)" = 200 ]; }

# ensure_cargo: cargo is on the PATH, or the reader is told where to get it.
ensure_cargo() {
    command -v cargo >/dev/null || PATH="$PATH:$HOME/.cargo/bin"
    command -v cargo >/dev/null || die "Rust is missing; rustup (https://rustup.rs) installs it"
    command -v cc >/dev/null || install_packages gcc libc6-dev
}
