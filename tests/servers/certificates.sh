#!/usr/bin/env bash
# certificates.sh DIR: a private certificate authority and the certificates that it signs:
# ca.crt, replica.{crt,key}, readgate.{crt,key}, P-256, all with a SAN for this machine.
# What exists and is valid for another day is kept.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/common.sh"

command -v openssl >/dev/null || install_packages openssl
directory="$1"
umask 077
mkdir -p "$directory"
cd "$directory"

new_key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null || openssl ecparam -genkey -name prime256v1 -noout -out "$1"; }

authority() {
    new_key ca.key
    openssl req -x509 -new -key ca.key -sha256 -days 3650 -out ca.crt -subj "/CN=readgate private CA" \
        -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign"
}

# issue NAME: NAME.key and NAME.crt for this machine's own names.
issue() {
    new_key "$1.key"
    openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -sha256 -days 825 \
        -out "$1.crt" -extfile /dev/stdin 2>/dev/null <<SAN
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=DNS:localhost,DNS:$1.readgate.test,IP:127.0.0.1,IP:::1
SAN
    rm "$1.csr"
}

valid() { openssl x509 -in "$1" -noout -checkend 86400 >/dev/null 2>&1; }

if ! valid ca.crt; then
    rm -f ./*.crt ./*.key
    authority
fi
for name in replica readgate; do
    valid "$name.crt" || issue "$name"
done
