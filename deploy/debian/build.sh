#!/usr/bin/env bash
# Makes readgate_<version>_<architecture>.deb of a program that is built already.
#   deploy/debian/build.sh PROGRAM FOLDER
# Prints the package's path. Needs dpkg-deb and gzip; man pages and completions are made by PROGRAM.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
program="$1"
folder="$2"
version="$("$program" version | cut -d' ' -f2)"
architecture="$(dpkg --print-architecture)"
tree="$(mktemp -d)"
trap 'rm -rf "$tree"' EXIT
umask 022

put() { install -D --mode="$1" "$2" "$tree/$3"; }

put 755 "$program" usr/bin/readgate
strip --strip-unneeded "$tree/usr/bin/readgate"
for unit in readgate.service readgate.socket; do
    put 644 "$root/deploy/systemd/$unit" "lib/systemd/system/$unit"
done
put 644 "$root/deploy/debian/sysusers.conf" usr/lib/sysusers.d/readgate.conf
for page in "$root"/docs/*.md "$root/README.md"; do
    put 644 "$page" "usr/share/doc/readgate/$(basename "$page")"
done
put 644 "$root/deploy/debian/copyright" usr/share/doc/readgate/copyright
gzip -9n <"$root/CHANGELOG.md" >"$tree/usr/share/doc/readgate/changelog.gz"
put 644 "$root/proxy.toml" usr/share/doc/readgate/examples/proxy.toml

# The sample, with the places that a package uses. It doesn't start before an administrator has
# written down a certificate, a replica and users.
install -d "$tree/etc/readgate"
sed -e 's|^directory = "ledger"|directory = "/var/lib/readgate/ledger"|' \
    -e 's|^# file = "identities.sqlite"|# file = "/var/lib/readgate/identities.sqlite"|' \
    "$root/proxy.toml" >"$tree/etc/readgate/proxy.toml"
chmod 640 "$tree/etc/readgate/proxy.toml"

made="$(mktemp -d)"
"$program" generate "$made"
install -d "$tree/usr/share/man/man1"
for page in "$made"/man1/*.1; do
    gzip -9n --stdout "$page" | install -m 644 /dev/stdin "$tree/usr/share/man/man1/${page##*/}.gz"
done
put 644 "$made/completions/readgate.bash" usr/share/bash-completion/completions/readgate
put 644 "$made/completions/_readgate" usr/share/zsh/vendor-completions/_readgate
put 644 "$made/completions/readgate.fish" usr/share/fish/vendor_completions.d/readgate.fish
rm -rf "$made"

install -d "$tree/DEBIAN"
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" \
    -e "s/@SIZE@/$(du -sk "$tree" | cut -f1)/" \
    "$root/deploy/debian/control" >"$tree/DEBIAN/control"
echo /etc/readgate/proxy.toml >"$tree/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    put 755 "$root/deploy/debian/$script" "DEBIAN/$script"
done
(cd "$tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"

package="$folder/readgate_${version}_$architecture.deb"
dpkg-deb --root-owner-group --build "$tree" "$package" >/dev/null
echo "$package"
