"""Reads lines of load, door and JSON figures; prints each door's medians, and readgate's
ratio to each of the others: the replica straight, other proxies, itself without a ledger."""
import json
import statistics
import sys

COLUMNS = ["per_second", "p50_us", "p99_us", "cpu_us", "mb_per_second", "cpu_us_per_mb", "rss_kb", "idle_kb", "idle_cpu"]

rounds = {}
for line in sys.stdin:
    what, door, figures = line.split(" ", 2)
    rounds.setdefault(what, {}).setdefault(door, []).append(json.loads(figures))

print(f"{'load':16} {'door':13} " + " ".join(f"{column:>14}" for column in COLUMNS))
for what, doors in rounds.items():
    medians = {
        door: {c: statistics.median(one[c] for one in runs if one[c] is not None) for c in COLUMNS}
        for door, runs in doors.items()
    }
    for door, figures in medians.items():
        print(f"{what:16} {door:13} " + " ".join(f"{figures[c]:14.1f}" for c in COLUMNS))
    for other in medians:
        if other != "readgate":
            ratio = {c: medians["readgate"][c] / (medians[other][c] or float("nan")) for c in COLUMNS}
            print(f"{'':16} {'/ ' + other:13} " + " ".join(f"{ratio[c]:14.2f}" for c in COLUMNS))
