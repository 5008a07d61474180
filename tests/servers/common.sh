# shellcheck shell=bash
# Shared by the scripts of this folder, by ./quickstart and by ./test; sourced, never run.
# Guarantees: messages go to stderr; nothing here writes outside the cache folder.

# shellcheck disable=SC2034  # for the scripts that source this file
cache="${XDG_CACHE_HOME:-$HOME/.cache}/readgate"

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
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --no-remove)
    as_root "${install[@]}" "${missing[@]}" </dev/null >&2 && return 0
    as_root apt-get update -q </dev/null >&2
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
