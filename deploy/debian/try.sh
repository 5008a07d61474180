#!/usr/bin/env bash
# Installs the Debian package under a real systemd and uses it: start, reload, restarts that
# refuse nobody, hardening in force, stop, removal. Nothing of that touches this machine: it
# happens on an overlay of its files, in namespaces of its own, and goes with them.
#   deploy/debian/try.sh PACKAGE
# Exit 75 where that isn't possible: it needs root, overlayfs and a systemd that isn't running yet
# in these namespaces.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"

# First of three lives: makes the namespaces.
outside() {
    local package="$1" code=0
    [ "$(id -u)" = 0 ] && [ -x /lib/systemd/systemd ] && command -v unshare >/dev/null || exit 75
    group="readgate-try-$$"
    place="$(mktemp -d)"
    trap 'rmdir "$place"; leave "$group"' EXIT
    (
        enter "$group"
        exec unshare --mount --pid --fork --ipc --uts --cgroup --net \
            "$0" prepare "$package" "$place"
    ) >/dev/null || code=$?
    return "$code"
}

hierarchies() { awk '$3 ~ /^cgroup/ && ($3 == "cgroup2" || $4 ~ /name=systemd/) { print $2 }' /proc/mounts; }

# A control group of its own, so that systemd takes nobody else's.
enter() {
    local at
    while read -r at; do
        mkdir "$at/$1" 2>/dev/null && echo "$BASHPID" >"$at/$1/cgroup.procs"
    done < <(hierarchies) || exit 75
}

# What was killed there takes a moment to be gone.
leave() {
    local at
    while read -r at; do
        eventually find "$at/$1" -depth -type d -delete 2>/dev/null || true
    done < <(hierarchies)
}

# Second life: the machine that it is tried on.
prepare() {
    local package="$1" place="$2" machine="$2/machine" device name major minor
    mount --make-rprivate /
    mount -t tmpfs tmpfs "$place" || exit 75
    mkdir "$place/upper" "$place/work" "$machine"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" "$machine" || exit 75
    cp "$package" "$machine/root/readgate.deb"
    mkdir "$machine/try"
    cp "${BASH_SOURCE[0]}" "$machine/try/try.sh"
    "$root/tests/servers/certificates.sh" "$machine/try/certs" >/dev/null
    ip link set lo up
    mount -t proc proc "$machine/proc"
    mount -t sysfs -o ro sysfs "$machine/sys" && mount -t tmpfs tmpfs "$machine/sys/fs/cgroup" || exit 75
    control_groups "$machine/sys/fs/cgroup" || exit 75
    mount -t tmpfs tmpfs "$machine/run"
    mount -t tmpfs tmpfs "$machine/tmp"
    mount -t tmpfs -o mode=755 tmpfs "$machine/dev"
    for device in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
        read -r name major minor <<<"$device"
        mknod --mode=666 "$machine/dev/$name" c "$major" "$minor"
    done
    ln -s /proc/self/fd "$machine/dev/fd"
    ln -s pts/ptmx "$machine/dev/ptmx"
    # Of this machine's own services none shall start.
    rm -rf "$machine"/etc/systemd/system/*
    cat >"$machine/etc/systemd/system/try.service" <<'UNIT'
[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c '/try/try.sh inside >/try/said 2>&1; systemctl --no-block exit $?'
UNIT
    local code=0
    env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin timeout --signal=KILL 120 \
        unshare --mount --pid --fork --kill-child "$0" boot "$machine" || code=$?
    cat "$machine/try/said" >&2
    exit "$code"
}

# A root of its own and not a chroot: from there PrivateUsers= would be refused.
boot() {
    cd "$1"
    mkdir -p old
    pivot_root . old
    cd /
    umount --lazy /old
    mount -t proc proc /proc
    exec /lib/systemd/systemd --system --unit=try.service --log-target=null --show-status=false
}

control_groups() {
    if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
        mount -t cgroup2 cgroup2 "$1"
    else
        mkdir "$1/systemd" "$1/unified"
        mount -t cgroup -o none,name=systemd cgroup "$1/systemd"
        mount -t cgroup2 cgroup2 "$1/unified"
    fi
}

# Third life: under that machine's systemd.
inside() {
    local main score refused
    # Neither a debconf question nor a restart of anything else.
    export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
    trap 'echo "FAILED at line $LINENO"; systemctl status --no-pager readgate.service || true; journalctl --no-pager -n 30 -u readgate.service || true' ERR
    set -E
    dpkg --install /root/readgate.deb >/dev/null
    said "dpkg has installed it; the account is there" id readgate
    said "the configuration is not for everybody" test "$(stat -c %U:%G:%a /etc/readgate/proxy.toml)" = root:readgate:640
    install -d -o root -g readgate -m 750 /etc/readgate/certs
    install -o readgate -g readgate -m 440 /try/certs/ca.crt /try/certs/readgate.crt /etc/readgate/certs
    install -o readgate -g readgate -m 400 /try/certs/readgate.key /etc/readgate/certs
    printf secret | install -o readgate -g readgate -m 400 /dev/stdin /etc/readgate/certs/replica.password
    sed -i -e 's|^# \[identities\]|[identities]|' -e 's|^# file = "/var/lib|file = "/var/lib|' /etc/readgate/proxy.toml
    said "a first user is added before the first start" readgate user add bob --full-name Bob --reason new

    said "it starts, and says so" systemctl start readgate.socket readgate.service
    main="$(systemctl show --property MainPID --value readgate.service)"
    said "under its own account" test "$(ps -o user= -p "$main")" = readgate
    said "without capabilities" grep -q '^CapEff:.0*$' "/proc/$main/status"
    said "and no way to more" grep -q '^NoNewPrivs:.1$' "/proc/$main/status"
    said "with its system calls filtered" grep -q '^Seccomp:.2$' "/proc/$main/status"
    said "it is healthy" page /healthz ok
    said "it knows that user" runuser -u readgate -- readgate user show bob
    said "it greets as MySQL does" greets
    said "systemd reloads it" systemctl reload readgate.service
    said "and it has read its configuration again" eventually page /metrics '^readgate_config_generation 2$'
    refused="$(restarted_under_clients 10)"
    said "10 restarts refuse none of the clients ($refused)" test "$refused" = "0 refused"
    said "a wrong configuration ends it" wrong_configuration
    said "once: systemd doesn't try again" is_left_failed
    main="$(systemctl show --property MainPID --value readgate.service)"
    said "an upgrade starts the new program" upgraded_with_a_right_configuration "$main"
    main="$(systemctl show --property MainPID --value readgate.service)"
    said "not with a configuration that it refuses: who serves goes on" upgraded_with_a_wrong_configuration "$main"
    score="$(systemd-analyze security --no-pager readgate.service | tail -1)"
    said "systemd sees:${score#*:}" true
    said "it stops" systemctl stop readgate.service readgate.socket
    said "in good order" test "$(systemctl show --property Result --value readgate.service)" = success
    said "its ledger verifies" runuser -u readgate -- readgate ledger verify /var/lib/readgate/ledger
    dpkg --purge readgate >/dev/null
    said "purged, the ledger stays" test -d /var/lib/readgate/ledger
}

# said WORDS COMMAND...: what was tried, once it is so.
said() {
    "${@:2}" >/try/output 2>&1 || { cat /try/output; echo "NOT: $1"; return 1; }
    echo "  $1"
}

# page PATH PATTERN: whether a line of that page is like this.
page() {
    exec 5<>/dev/tcp/127.0.0.1/9104
    printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&5
    tr -d '\r' <&5 | grep -q "$2"
}

eventually() {
    for _ in {1..50}; do
        if "$@"; then return 0; fi
        sleep 0.1
    done
    return 1
}

# A client's connection, up to the greeting's version.
greets() {
    exec 6<>/dev/tcp/127.0.0.1/3307 && timeout 20 head -c 20 <&6 | tr -d '\0' | grep -q readgate
}

# A start that the configuration makes fail, and the right configuration back in its place.
wrong_configuration() {
    cp -p /etc/readgate/proxy.toml /try/right.toml && echo 'no_such_key = 1' >>/etc/readgate/proxy.toml
    if systemctl restart readgate.service; then return 1; fi
    cp -p /try/right.toml /etc/readgate/proxy.toml
}

# Between two tries it would be called activating (auto-restart).
is_left_failed() {
    test "$(systemctl show --property SubState --value readgate.service)" = failed &&
        test "$(systemctl show --property ExecMainStatus --value readgate.service)" = 78 &&
        systemctl restart readgate.service
}

# Within `said` nothing ends at the first failure: hence the chains.
upgraded_with_a_right_configuration() {
    dpkg --install /root/readgate.deb &&
        test "$(systemctl show --property MainPID --value readgate.service)" != "$1" &&
        eventually page /healthz ok
}

# As where a new version's keys are stricter: dpkg has done its part, and says what is left to do.
upgraded_with_a_wrong_configuration() {
    cp -p /etc/readgate/proxy.toml /try/right.toml &&
        echo 'no_such_key = 1' >>/etc/readgate/proxy.toml &&
        dpkg --install /root/readgate.deb 2>&1 | tee /try/upgrade &&
        grep 'goes on as it was' /try/upgrade &&
        test "$(systemctl show --property MainPID --value readgate.service)" = "$1" &&
        page /healthz ok &&
        cp -p /try/right.toml /etc/readgate/proxy.toml
}

# restarted_under_clients COUNT: how many of the clients that come meanwhile are refused.
restarted_under_clients() {
    local refused=0
    (for _ in $(seq "$1"); do systemctl restart readgate.service; done; touch /try/restarted) &
    until [ -e /try/restarted ]; do
        (greets) 2>/dev/null || refused=$((refused + 1))
    done
    wait
    echo "$refused refused"
}

case "${1:?a package}" in
prepare | boot | inside) "$@" ;;
*) outside "$(realpath "$1")" ;;
esac
