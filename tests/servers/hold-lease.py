"""Holds a lease on a file until its standard input ends (fcntl(2), "Leases"): whoever opens
it meanwhile waits, as on a mount whose server is gone. Says "held" when it has it."""
import fcntl
import os
import signal
import sys

signal.signal(signal.SIGIO, signal.SIG_IGN)
fcntl.fcntl(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
sys.stdin.read()
