#!/usr/bin/env bash
# certificates.sh DIR: a private certificate authority and the certificates that it signs:
# ca.crt, replica.{crt,key}, readgate.{crt,key}, P-256, with a SAN for this machine; and the
# client certificates alice.{crt,key} and mallory.{crt,key}, mallory's revoked in people.crl; and the
# same list as of long ago, ended.crl.
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

# sign NAME SUBJECT USAGE SAN: NAME.key and NAME.crt, signed by the authority.
sign() {
    new_key "$1.key"
    openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -sha256 -days 825 \
        -out "$1.crt" -extfile /dev/stdin 2>/dev/null <<EXTENSIONS
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=$3
subjectAltName=$4
EXTENSIONS
    rm "$1.csr"
}

# For this machine's own names.
issue() { sign "$1" "/CN=$1" serverAuth "DNS:localhost,DNS:$1.readgate.test,IP:127.0.0.1,IP:::1"; }

# For a person.
issue_to() { sign "$1" "/O=Clinical Research/CN=$1" clientAuth "email:$1@example.org"; }

# revoke NAME LIST OPTION...: the file LIST lists NAME's certificate.
revoke() {
    local serial list="$2"
    serial="$(openssl x509 -in "$1.crt" -noout -serial)"
    printf 'R\t491231235959Z\t200101000000Z\t%s\tunknown\t/CN=%s\n' "${serial#serial=}" "$1" >revoked
    echo 01 >number
    openssl ca -gencrl "${@:3}" -out "$list" -keyfile ca.key -cert ca.crt -config /dev/stdin 2>/dev/null <<CONFIG
[ca]
default_ca = people
[people]
database = revoked
crlnumber = number
crl_extensions = extensions
default_md = sha256
default_crl_days = 825
[extensions]
authorityKeyIdentifier = keyid
CONFIG
}

valid() { openssl x509 -in "$1" -noout -checkend 86400 >/dev/null 2>&1; }

if ! valid ca.crt; then
    rm -f ./*.crt ./*.key
    authority
fi
for name in replica readgate; do
    valid "$name.crt" || issue "$name"
done
for name in alice mallory; do
    valid "$name.crt" || issue_to "$name"
done
[ people.crl -nt mallory.crt ] || revoke mallory people.crl
[ ended.crl -nt mallory.crt ] ||
    revoke mallory ended.crl -crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z
