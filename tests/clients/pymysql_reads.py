"""Reads of every kind with PyMySQL over verified TLS; prints what it got.

Connection from PORT, USER_NAME, USER_PASSWORD, CA_FILE. Run twice, at the replica and at
readgate, the two outputs must be the same.
"""
import hashlib
import os
import ssl

import pymysql

context = ssl.create_default_context(cafile=os.environ["CA_FILE"])
connection = pymysql.connect(
    host="127.0.0.1",
    port=int(os.environ["PORT"]),
    user=os.environ["USER_NAME"],
    # As bytes: PyMySQL would encode a text as Latin-1.
    password=os.environb[b"USER_PASSWORD"],
    database="clinical",
    charset="utf8mb4",
    ssl=context,
)

READS = [
    "SELECT * FROM studies ORDER BY study_id",
    "SELECT * FROM adverse_events ORDER BY event_id",
    "SELECT consent_scan FROM subjects ORDER BY subject_id LIMIT 100",
    "SELECT * FROM lab_results ORDER BY result_id LIMIT 100000",
    "SELECT REPEAT('é', 10000000)",
    "SELECT '🧠', NULL, '', 1.50, CAST('2024-02-29' AS DATE)",
    "SHOW FULL COLUMNS FROM visits",
]

for sql in READS:
    with connection.cursor() as cursor:
        count = cursor.execute(sql)
        rows = cursor.fetchall()
        digest = hashlib.sha256(repr(rows).encode()).hexdigest()
        print(sql, count, [column[:2] for column in cursor.description], digest)

with connection.cursor() as cursor:
    cursor.execute("SELECT %s, %s", ("O'Brien \\ 😀", None))
    print(cursor.fetchall())
    try:
        cursor.execute("SELECT * FROM no_such_table")
    except pymysql.err.ProgrammingError as error:
        print(error.args)

connection.ping(reconnect=False)
connection.select_db("information_schema")
connection.close()
