"""Counts instructions per operation with callgrind and compares with instructions.toml.

More than 5 % above a figure fails; more than 5 % below asks for the figure to be lowered.
`UPDATE=1` writes what was counted. The figures hold for one compiler; with another, only
what takes a quarter more fails. A processor without AVX2 picks other code: there nothing is
compared, and the exit code is 75.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib

TIMES = 500
TOLERANCE = 0.05
OTHER_COMPILERS_TOLERANCE = 0.25
# What is counted, where it isn't the operation as a whole.
COUNTED = {"lines_of_a_statement": "ledger::line::Chain::push*"}

here = pathlib.Path(__file__).parent
figures_file = here / "instructions.toml"


def built():
    """The path of the program, in the profile that is shipped."""
    command = "cargo bench -p readgate-benches --bench instructions --no-run --locked --quiet"
    lines = subprocess.run(
        command.split() + ["--message-format=json"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.splitlines()
    artifacts = (json.loads(line) for line in lines)
    paths = [a["executable"] for a in artifacts if a.get("target", {}).get("name") == "instructions"]
    return next(path for path in paths if path)


def count(program, operation):
    """Instructions of one operation."""
    counted = COUNTED.get(operation, "*instructions::counted*")
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    run = subprocess.run(
        command + [f"--toggle-collect={counted}", program, operation],
        check=True, stderr=subprocess.PIPE, text=True,
    )
    collected = int(re.search(r"Collected : (\d+)", run.stderr).group(1))
    assert collected > 0, f"{operation}: no function is called {counted}"
    return round(collected / TIMES)


def compare(operation, known, now, tolerance):
    """Prints a line; says whether it is a regression."""
    change = now / known - 1
    remark = ""
    if change > tolerance:
        remark = "REGRESSION: make it cheaper, or say in the commit why not and run UPDATE=1"
    elif change < -tolerance:
        remark = "better: keep it so with UPDATE=1"
    print(f"{operation:28} {known:10,} {now:10,} {change:+7.1%}  {remark}".rstrip())
    return change > tolerance


def main():
    known = tomllib.loads(figures_file.read_text())
    compiler = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    update = os.environ.get("UPDATE") == "1"
    has_avx2 = "avx2" in pathlib.Path("/proc/cpuinfo").read_text().split()
    if not has_avx2:
        print("this processor has no AVX2: the figures don't hold here", file=sys.stderr)
        return 75
    tolerance = TOLERANCE
    if compiler != known["compiler"]:
        tolerance = OTHER_COMPILERS_TOLERANCE
        print(f"the figures are those of {known['compiler']}, here is {compiler}: tolerance {tolerance:.0%}")
    program = built()
    now = {operation: count(program, operation) for operation in known["instructions"]}
    if update:
        lines = [f"{operation} = {value}" for operation, value in now.items()]
        text = figures_file.read_text()
        text = re.sub(r'(?m)^compiler = .*$', f'compiler = "{compiler}"', text)
        figures_file.write_text(text[: text.index("[instructions]")] + "[instructions]\n" + "\n".join(lines) + "\n")
        return 0
    print(f"{'instructions per operation':28} {'figure':>10} {'now':>10}")
    worse = [compare(name, known["instructions"][name], value, tolerance) for name, value in now.items()]
    return 1 if any(worse) else 0


sys.exit(main())
