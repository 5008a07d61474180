"""The URLs that docs/clients.md gives to SQLAlchemy, with our own names put in: each must connect."""

import os
import sys
from pathlib import Path

import sqlalchemy

NAMES = {
    "alice": os.environ["USER_NAME"],
    "PASSWORD": os.environ["USER_PASSWORD"].replace(" ", "%20"),
    "db.example.org:3307": "localhost:" + os.environ["PORT"],
    "/etc/ssl/readgate-ca.pem": os.environ["CA_FILE"],
}

lines = Path(sys.argv[1]).read_text().splitlines()
for line in lines:
    if not line.startswith("    mysql+"):
        continue
    url = line.strip()
    for written, ours in NAMES.items():
        url = url.replace(written, ours)
    # A host name would have MariaDB's C library look for a socket.
    url = url.replace("localhost", "127.0.0.1") if "mysqldb" in url else url
    with sqlalchemy.create_engine(url).connect() as connection:
        answer = connection.scalar(sqlalchemy.text("SELECT 41 + 1"))
        print(line.strip().split(":")[0], answer)
