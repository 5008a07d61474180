#!/usr/bin/env bash
# Checks what is in deploy/ with each file's own linter, as far as this machine has them.
#   deploy/check.sh PROGRAM
# Exit 1 if something is wrong. A linter that is missing is named at the end and makes it 75,
# but for kubectl and terraform, which no package archive that tests use has, for root, and for a
# systemd to boot, which takes root and namespaces.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
program="$(realpath "$1")"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
missing=() out_of_reach=()

# with PROGRAM: whether it is there; if not, that is said at the end.
with() {
    command -v "$1" >/dev/null && return 0
    [ "$1" = root ] && [ "$(id -u)" -eq 0 ] && return 0
    case "$1" in
    kubectl | terraform | root | "a systemd to boot") out_of_reach+=("$1") ;;
    *) missing+=("$1") ;;
    esac
    return 1
}

configurations() {
    "$program" check --text-only --config "$here/docker/proxy.toml"
    "$program" check --text-only --config "$here/kubernetes/proxy.toml"
}

# setting NAME: of the service.
setting() { sed -n "s/^$1=//p" "$here/systemd/readgate.service"; }

units() {
    with systemd-analyze || return 0
    sed "s|/usr/bin/readgate|$program|" "$here/systemd/readgate.service" >"$scratch/readgate.service"
    cp "$here/systemd/readgate.socket" "$scratch/"
    # What isn't there at the start, for however long, is no crash loop.
    local each burst interval
    each="$(setting RestartSec)" burst="$(setting StartLimitBurst)" interval="$(setting StartLimitIntervalSec)"
    [ $((each * burst)) -gt "$interval" ]
    systemd-analyze verify --man=no "$scratch/readgate.service" "$scratch/readgate.socket"
    # Tenths. Files of the ledger are its group's to read, for log shippers, and it needs the network.
    systemd-analyze security --offline=true --threshold=15 "$scratch/readgate.service" |
        tail -1
}

balancer() {
    with haproxy || return 0
    local node
    for node in ONE TWO THREE; do
        export "READGATE_$node=127.0.0.1:3307" "READGATE_${node}_OPS=9104"
    done
    READGATE_BIND=127.0.0.1:3306 haproxy -c -f "$here/haproxy/haproxy.cfg"
}

container() {
    with hadolint || return 0
    hadolint "$here/docker/Dockerfile"
}

# The commands of docs/deploy.md up to Docker's own, on a copy: what they make is of use to the
# accounts in the images, and to nobody else.
trial() {
    with root || return 0
    local copy="$scratch/trial" own=(setpriv --clear-groups)
    mkdir -p "$copy/tests/servers" "$copy/deploy" "$scratch/bin"
    cp "$here"/../tests/servers/{certificates,common}.sh "$copy/tests/servers/"
    cp -r "$here/docker" "$copy/deploy/"
    rm -rf "$copy"/deploy/docker/{certs,secrets}
    install -m 755 "$program" "$scratch/bin/readgate"
    install -m 755 /dev/stdin "$scratch/bin/sudo" <<<$'#!/bin/sh\nexec "$@"'
    chmod 711 "$scratch"
    sed -n '/^## A trial with Docker/,/^docker compose up/p' "$here/../docs/deploy.md" |
        sed '1,/^```/d; $d' >"$scratch/trial.sh"
    (cd "$copy" && umask 022 && PATH="$scratch/bin:$PATH" bash -e "$scratch/trial.sh")
    (
        cd "$copy/deploy/docker"
        sed -i 's|/run/secrets/replica-password|secrets/replica.password|' proxy.toml
        "${own[@]}" --reuid=65532 --regid=65532 "$scratch/bin/readgate" check --config proxy.toml
        "${own[@]}" --reuid=999 --regid=999 cat certs/replica.key certs/replica.crt >/dev/null
    )
}

cluster() {
    with kubectl || return 0
    kubectl kustomize "$here/kubernetes" >"$scratch/cluster.yaml"
    with kubernetes-validate || return 0
    kubernetes-validate "$scratch/cluster.yaml"
}

prometheus() {
    with promtool || return 0
    # As in the compose file, the rules lie beside it.
    cp "$here/docker/prometheus.yaml" "$here/prometheus/readgate-alerts.yml" "$scratch/"
    promtool check config "$scratch/prometheus.yaml"
    promtool check rules "$here/prometheus/readgate-alerts.yml"
    promtool test rules "$here/prometheus/readgate-alerts-test.yml"
}

# Mounts, provisioning, sources of the security groups.
wiring() {
    with hadolint || return 0 # of the same environment as the libraries
    "$(dirname "$(command -v hadolint)")/python3" "$here/check_wiring.py"
}

yaml() {
    with yamllint || return 0
    yamllint --strict -d '{extends: default, rules: {line-length: {max: 160}, document-start: disable, comments: {min-spaces-from-content: 1}, indentation: {indent-sequences: whatever}}}' \
        "$here/kubernetes" "$here/docker" "$here/prometheus"
}

terraform_module() {
    with terraform || return 0
    terraform -chdir="$here/terraform" fmt -check
}

# Built, taken apart again, and what came out of it run.
package() {
    with dpkg-deb || return 0
    local built="$scratch/unpacked" file script
    file="$("$here/debian/build.sh" "$program" "$scratch")"
    dpkg-deb --info "$file" >/dev/null
    dpkg-deb --raw-extract "$file" "$built"
    "$built/usr/bin/readgate" version
    "$built/usr/bin/readgate" check --text-only --config "$built/etc/readgate/proxy.toml"
    (cd "$built" && md5sum --quiet --check DEBIAN/md5sums)
    for script in DEBIAN/postinst DEBIAN/prerm DEBIAN/postrm; do sh -n "$built/$script"; done
    test -e "$built/usr/share/man/man1/readgate-user-add.1.gz"
    grep -q '^directory = "/var/lib/readgate/ledger"' "$built/etc/readgate/proxy.toml"
    linted "$file"
    installed "$file"
}

# Warnings stay: the units are the administrator's to start, and readgate's own changelog isn't
# Debian's.
linted() {
    with lintian || return 0
    lintian --allow-root --fail-on error --display-level '>=error' "$1"
}

# Under a real systemd, on an overlay of this machine.
installed() {
    local code=0
    "$here/debian/try.sh" "$1" || code=$?
    [ "$code" = 75 ] || return "$code"
    out_of_reach+=("a systemd to boot")
}

for check in configurations units balancer container trial cluster prometheus wiring yaml terraform_module package; do
    printf -- '-- %s\n' "$check"
    "$check"
done
[ "${#out_of_reach[@]}" -eq 0 ] || printf '!!! NOT checked, for want of: %s\n' "${out_of_reach[*]}"
if [ "${#missing[@]}" -gt 0 ]; then
    printf '!!! NOT checked, for want of: %s\n' "${missing[*]}"
    exit 75
fi
