"""The Python drivers: connector (C), connector-pure, pymysql, sqlalchemy, mysqlclient, pyodbc.

Usage: mysqlclients.py DRIVER; the environment is as in README.md.
"""
import os
import pathlib
import sys

PORT = int(os.environ["PORT"])
USER = os.environ["USER_NAME"]
PASSWORD = os.environ["USER_PASSWORD"]
CA_FILE = os.environ["CA_FILE"]
READS = (pathlib.Path(__file__).parent / "reads.sql").read_text().splitlines()


def connector(pure):
    import mysql.connector

    connection = mysql.connector.connect(
        host="127.0.0.1", port=PORT, user=USER, password=PASSWORD, database="clinical",
        ssl_ca=CA_FILE, ssl_verify_cert=True, use_pure=pure,
    )
    prepared = connection.cursor(prepared=True)
    prepared.execute("SELECT term, narrative FROM adverse_events WHERE subject_id = %s ORDER BY event_id", (17,))
    show("prepared", prepared.fetchall())
    prepared.close()
    connection.ping(reconnect=False)
    connection.cmd_reset_connection()
    connection.database = "clinical"
    return connection


def pymysql():
    import ssl

    import pymysql as driver

    return driver.connect(
        host="127.0.0.1", port=PORT, user=USER, password=PASSWORD, database="clinical",
        charset="utf8mb4", ssl=ssl.create_default_context(cafile=CA_FILE),
    )


def mysqlclient():
    import MySQLdb

    connection = MySQLdb.connect(
        host="127.0.0.1", port=PORT, user=USER, password=PASSWORD, database="clinical",
        charset="utf8mb4", ssl={"ca": CA_FILE},
    )
    show("stat", connection.stat().startswith("Uptime"))
    connection.ping()
    return connection


def pyodbc():
    import pyodbc as driver

    return driver.connect(
        "DRIVER={MariaDB Unicode};SERVER=127.0.0.1;PORT=%d;UID=%s;PWD={%s};DATABASE=clinical;"
        "SSLCA=%s;SSLVERIFY=1;FORCETLS=1" % (PORT, USER, PASSWORD, CA_FILE)
    )


def sqlalchemy():
    import sqlalchemy as sa

    engine = sa.create_engine(
        "mysql+pymysql://", creator=pymysql, pool_pre_ping=True, isolation_level="REPEATABLE READ"
    )
    inspector = sa.inspect(engine)
    show("tables", sorted(inspector.get_table_names()))
    show("columns", [(c["name"], str(c["type"])) for c in inspector.get_columns("subjects")])
    show("keys", inspector.get_foreign_keys("visits"))
    show("views", sorted(inspector.get_view_names()))
    for _ in range(3):
        with engine.connect() as connection:
            rows = connection.execute(sa.text("SELECT * FROM studies WHERE study_id > :i"), {"i": 1})
            show("orm", rows.fetchall())
    return engine.raw_connection()


def show(what, value):
    print(what, repr(value))


def exercise(connection):
    cursor = connection.cursor()
    for sql in READS:
        cursor.execute(sql)
        show(sql, [tuple(row) for row in cursor.fetchall()])
    try:
        cursor.execute("SELECT * FROM no_such_table")
    except Exception as error:  # each driver has classes of its own
        show("failing read", [part for part in ("1146", "42S02") if part in str(error)])
    try:
        cursor.execute("DELETE FROM forms")
        print("WRITE WENT THROUGH")
    except Exception:
        print("write refused")
    cursor.execute("SELECT COUNT(*) FROM forms")
    show("still here", [tuple(row) for row in cursor.fetchall()])
    connection.rollback()
    connection.close()


DRIVERS = {
    "connector": lambda: connector(False),
    "connector-pure": lambda: connector(True),
    "pymysql": pymysql,
    "mysqlclient": mysqlclient,
    "pyodbc": pyodbc,
    "sqlalchemy": sqlalchemy,
}
exercise(DRIVERS[sys.argv[1]]())
