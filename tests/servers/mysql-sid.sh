#!/usr/bin/env bash
# Puts MySQL 9.7 (only in Debian's unstable suite) into the cache folder and prints where.
# The packages are unpacked, not installed: the programs run through their own loader and
# libraries, so neither root nor a chroot is needed and nothing of the machine changes.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/common.sh"

target="$cache/mysql-sid"

# wrapper PROGRAM FLAGS...: a script in bin/ that runs the program of the unpacked tree.
wrapper() {
    local program="$1" script="$2/bin/${1##*/}"
    shift 2
    cat >"$script" <<'SCRIPT'
#!/bin/sh
root="$(dirname "$(dirname "$(readlink -f "$0")")")"
for loader in "$root"/usr/lib*/ld-linux-*.so.*; do :; done
for libraries in "$root"/usr/lib/*-linux-gnu; do :; done
export OPENSSL_CONF=/dev/null OPENSSL_MODULES="$libraries/ossl-modules"
SCRIPT
    # The flags are written for the script to expand, so the folder can be moved.
    # shellcheck disable=SC2016
    printf 'exec "$loader" --inhibit-cache --library-path "$libraries" "$root%s" %s "$@"\n' \
        "$program" "$*" >>"$script"
    chmod +x "$script"
}

unpack() {
    local tree="$1" packages="$1/packages" deb
    # Ubuntu doesn't have the keys that Debian's suites are signed with.
    install_packages debootstrap debian-archive-keyring
    # Choosing and downloading need no root; the signature of the suite is checked here.
    debootstrap --variant=minbase --download-only --include=mysql-server-core,mysql-client-core \
        sid "$packages" >"$tree/debootstrap.log" 2>&1 || {
        tail -n 5 "$tree/debootstrap.log" >&2
        return 1
    }
    for deb in "$packages"/var/cache/apt/archives/{mysql-,lib,tzdata}*.deb; do
        dpkg-deb -x "$deb" "$tree"
    done
    rm -rf "$packages"
}

write_wrappers() {
    local tree="$1" program
    mkdir -p "$tree/bin"
    # shellcheck disable=SC2016  # $root is for the wrapper to expand
    wrapper /usr/sbin/mysqld "$tree" --no-defaults --basedir='"$root/usr"' \
        --lc-messages-dir='"$root/usr/share/mysql"' \
        --character-sets-dir='"$root/usr/share/mysql/charsets"' \
        --plugin-dir='"$root/usr/lib/mysql/plugin"'
    for program in mysql mysqldump mysqladmin mysqlbinlog; do
        # shellcheck disable=SC2016
        wrapper "/usr/bin/$program" "$tree" --no-defaults \
            --character-sets-dir='"$root/usr/share/mysql/charsets"'
    done
}

mkdir -p "$cache"
exec 9>"$cache/mysql-sid.lock"
flock 9
if [ ! -x "$target/bin/mysqld" ]; then
    say "fetching MySQL from Debian's unstable suite (once, about a minute)"
    fresh="$cache/mysql-sid.new"
    rm -rf "$fresh"
    mkdir -p "$fresh"
    unpack "$fresh" || die "MySQL could not be fetched; see $fresh/debootstrap.log"
    write_wrappers "$fresh"
    "$fresh/bin/mysqld" --version >/dev/null || die "the unpacked mysqld does not start"
    rm -rf "$target"
    mv "$fresh" "$target"
fi
echo "$target"
