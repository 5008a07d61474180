#!/usr/bin/env bash
# check.sh FLAVOUR STATE: is the quickstart under STATE what it claims to be? Reads and tries
# to write through readgate with a real client, then looks at the replica and the ledger.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/common.sh"
flavour="$1"
state="$2"
# shellcheck source=/dev/null
. "$state/settings"
# shellcheck source=/dev/null
. "$state/ports"
failures=0

# through SQL...: runs each text through readgate as alice, in one connection, going on
# after an error; errors are part of what is printed.
through() {
    printf '%s;\n' "$@" | MYSQL_PWD="$ALICE_PASSWORD" mariadb --no-defaults --host=127.0.0.1 \
        --port="${proxy_port:?}" --user=alice --ssl-ca="$state/certs/ca.crt" --ssl-verify-server-cert \
        --default-character-set=utf8mb4 --batch --skip-column-names --force 2>&1
}

direct() { "$here/server.sh" sql "$flavour" "$state/$1" --batch --skip-column-names --execute="$2"; }

expect() {
    local claim="$1" wanted="$2" seen="$3"
    # shellcheck disable=SC2254  # the wanted text is a pattern, or the very text
    case "$seen" in
    "$wanted" | $wanted) say "ok: $claim" ;;
    *)
        say "FAILED: $claim"
        say "  wanted: $wanted"
        say "  seen:   $seen"
        failures=$((failures + 1))
        ;;
    esac
}

refused='*ERROR 1290 (HY000)*readgate*'

reads_what_the_replica_holds() {
    expect "a read gives the replica's rows" 144000 "$(through 'SELECT COUNT(*) FROM clinical.lab_results')"
    expect "text, NULL and emoji arrive unchanged" \
        "$(direct replica 'SELECT * FROM clinical.adverse_events ORDER BY event_id LIMIT 50')" \
        "$(through 'SELECT * FROM clinical.adverse_events ORDER BY event_id LIMIT 50')"
}

refuses_writes() {
    local before after sums='CHECKSUM TABLE clinical.adverse_events, clinical.subjects'
    before="$(direct primary "$sums") $(direct replica "$sums")"
    expect "DELETE is refused" "$refused" "$(through 'DELETE FROM clinical.adverse_events')"
    expect "DROP TABLE is refused" "$refused" "$(through 'DROP TABLE clinical.adverse_events')"
    expect "a write in an executable comment is refused" "$refused" \
        "$(through '/*! DELETE FROM clinical.adverse_events */')"
    expect "the connection goes on after a refusal" "$refused"$'\n'"still here" \
        "$(through "UPDATE clinical.subjects SET arm = 'active'" "SELECT 'still here'")"
    after="$(direct primary "$sums") $(direct replica "$sums")"
    expect "primary and replica are unchanged" "$before" "$after"
}

# What is written at the primary must be read through readgate: the replica is live.
follows_the_primary() {
    local mark="$$-$RANDOM"
    direct primary "CREATE DATABASE IF NOT EXISTS quickstart;
        CREATE TABLE IF NOT EXISTS quickstart.heartbeat (id INT PRIMARY KEY, mark VARCHAR(40));
        REPLACE INTO quickstart.heartbeat VALUES (1, '$mark')"
    "$here/replication.sh" wait "$flavour" "$state/primary" "$state/replica"
    expect "what the primary writes is read through readgate" "$mark" \
        "$(through 'SELECT mark FROM quickstart.heartbeat')"
    if "$here/replication.sh" running "$flavour" "$state/replica"; then
        say "ok: replication runs"
    else
        say "FAILED: replication does not run"
        failures=$((failures + 1))
    fi
}

# The operator's console: no data, but what the daemon knows.
console() {
    MYSQL_PWD="${OLGA_PASSWORD:?}" mariadb --no-defaults --host=127.0.0.1 --port="$proxy_port" \
        --user=olga --ssl-ca="$state/certs/ca.crt" --ssl-verify-server-cert \
        --batch --skip-column-names --execute="$1" readgate 2>&1
}

console_says() { [ "$(console "$1")" = "$2" ]; }

operators_see_it() {
    expect "the console knows who is there" olga "$(console 'SELECT user FROM sessions')"
    expect "and has no data" '*ERROR*' "$(console 'SELECT * FROM clinical.subjects')"
    local lag="SELECT value >= 0 FROM metrics WHERE name = 'readgate_replica_lag_seconds'"
    if wait_until 15 console_says "$lag" 1; then
        say "ok: how far the replica is behind is known"
    else
        say "FAILED: how far the replica is behind is not known"
        failures=$((failures + 1))
    fi
    echo 1 >"$state/deliveries/labs-check.csv"
    if wait_until 10 console_says "SELECT state FROM feeds WHERE name = 'labs'" fresh; then
        say "ok: a delivery is seen"
    else
        say "FAILED: a delivery is not seen: $(console 'SELECT * FROM feeds')"
        failures=$((failures + 1))
    fi
    rm "$state/deliveries/labs-check.csv"
}

ledger_holds() { cat "$state"/ledger/*.jsonl 2>/dev/null | grep -F "\"event\":\"$1\"" | grep -qF "$2"; }

is_recorded() {
    local event
    for event in login intent outcome refusal; do
        if wait_until 5 ledger_holds "$event" '"alice"'; then
            say "ok: the ledger holds a record of $event"
        else
            say "FAILED: the ledger holds no record of $event"
            failures=$((failures + 1))
        fi
    done
}

reads_what_the_replica_holds
refuses_writes
follows_the_primary
operators_see_it
is_recorded
[ "$failures" -eq 0 ] || die "$failures checks failed"
say "all checks passed"
