#!/usr/bin/env python3
"""Lists the built-in functions of a running server, by asking it.

usage: functions.py SOCKET SERVER_BINARY [FILE_OF_MORE_WORDS]

Candidates are the identifier-like strings of the server's binary, and the words of the
file (the linker keeps COS as the tail of ACOS, so some names are in no line of their
own). Each is called with zero to three arguments; what the server says tells a built-in
from a stored function (error 1305: no such routine) and from a word that cannot be
called (1064: syntax). Prints one `NAME class flags` a line: class `call` is a built-in,
`stored` would be looked up as a stored function, `syntax` can't be called this way; flag
`space` means that it is a built-in with white space before the parenthesis, `quoted` that
it is one in backticks. Use a scratch server: functions with effects are really called.
"""
import re
import subprocess
import sys

ARGUMENTS = ["()", "(1)", "(1,1)", "(1,1,1)"]
NO_BUILT_IN = {1305, 1064, 1630, 1370, 1149, 1046}
SLOW = {"SLEEP", "BENCHMARK"}


def candidates(binary):
    text = subprocess.run(["strings", "-n", "2", binary], capture_output=True, check=True).stdout
    words = set()
    for line in text.decode("ascii", "replace").splitlines():
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{1,45}", line):
            if line.isupper() or line.islower():
                words.add(line.upper())
    return words


def ask(socket, words, form):
    """The error codes (0 for none) that the server gives to each word in this form."""
    statements = [f"SELECT {form.format(word)}{args}" for word in words for args in ARGUMENTS]
    client = ["mariadb", "--no-defaults", "-uroot", "-S", socket, "-N", "--force", "scratch"]
    run = subprocess.run(client, input=";\n".join(statements) + ";\n", text=True,
                         capture_output=True, errors="replace")
    codes = {}
    for match in re.finditer(r"^ERROR (\d+) \(\w+\) at line (\d+)", run.stderr, re.M):
        codes[int(match.group(2)) - 1] = int(match.group(1))
    count = len(ARGUMENTS)
    return {word: {codes.get(i * count + j, 0) for j in range(count)}
            for i, word in enumerate(words)}


def main(socket, binary, more=None):
    words = candidates(binary) | (set(open(more).read().split()) if more else set())
    words = sorted(words - SLOW)
    said = ask(socket, words, "{}")
    calls = [word for word in words if said[word] - NO_BUILT_IN]
    spaced, quoted = ask(socket, calls, "{} "), ask(socket, calls, "`{}`")
    for word in words:
        if word not in calls:
            print(word, "stored" if said[word] - {1064, 1149} else "syntax")
            continue
        flags = [name for name, codes in (("space", spaced), ("quoted", quoted))
                 if codes[word] - NO_BUILT_IN]
        print(word, "call", *flags)
    for word in sorted(SLOW):
        print(word, "call space quoted")


if __name__ == "__main__":
    main(*sys.argv[1:])
