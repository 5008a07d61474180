"""The operator console by Connector/Python's prepared cursors: console.py PURE (0 or 1);
environment as in README.md."""
import datetime
import os
import sys

import mysql.connector

connection = mysql.connector.connect(
    host="127.0.0.1", port=int(os.environ["PORT"]), user=os.environ["USER_NAME"],
    password=os.environ["USER_PASSWORD"], database="readgate", ssl_ca=os.environ["CA_FILE"],
    ssl_verify_cert=True, use_pure=sys.argv[1] == "1",
)
cursor = connection.cursor(prepared=True)
sql = "SELECT user, 40 + %s AS n, 1.5 AS half, NULL AS absent, %s AS text FROM sessions WHERE user = %s AND since <= NOW()"
for number, text in ((2, "it's"), (-3, "x' OR '1'='1")):
    cursor.execute(sql, (number, text, "dora"))
    for row in cursor.fetchall():
        print(*["null" if value is None else value for value in row], sep="|")
cursor.execute("SELECT since FROM sessions WHERE user = %s AND since > %s", ("dora", datetime.datetime(2020, 1, 2, 3, 4, 5)))
print("since", cursor.fetchall()[0][0].year > 2020)
try:
    cursor.execute("SELECT * FROM nowhere WHERE a = %s", (1,))
except mysql.connector.Error as error:
    print("failing", error.errno)
cursor.close()
connection.close()
