"""Readings in SQLite, as a stack of Python keeps them: one row each, with an index.

    sqlite.py fill FILE ROWS_PER_COMMIT     rows from standard input: u16 series, i64 ms, u8 value
    sqlite.py day FILE SERIES FROM TO       reads the rows of a time
    sqlite.py hours FILE SERIES FROM TO     sums them up by the hour

Prints what it took, as JSON.
"""

import json
import sqlite3
import struct
import sys
import time

ROW = struct.Struct("<HqB")


def of_process(file, key):
    """A number of /proc/self, see proc(5)."""
    with open(f"/proc/self/{file}", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key))


def connect(path):
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    return database


def fill(path, rows_per_commit):
    database = connect(path)
    database.execute(
        "CREATE TABLE IF NOT EXISTS reading (id INTEGER PRIMARY KEY, series INTEGER NOT NULL, "
        "at INTEGER NOT NULL, value INTEGER NOT NULL)"
    )
    database.execute("CREATE INDEX IF NOT EXISTS reading_at ON reading (series, at)")
    written, begun, rows = of_process("io", "write_bytes:"), time.perf_counter(), 0
    while chunk := sys.stdin.buffer.read(ROW.size * int(rows_per_commit)):
        database.execute("BEGIN")
        database.executemany(
            "INSERT INTO reading (series, at, value) VALUES (?, ?, ?)", ROW.iter_unpack(chunk)
        )
        database.execute("COMMIT")
        rows += len(chunk) // ROW.size
    seconds = time.perf_counter() - begun
    resident = of_process("status", "VmRSS:") * 1024
    database.close()
    written = of_process("io", "write_bytes:") - written
    return {"rows": rows, "seconds": seconds, "written": written, "resident": resident}


def timed(query):
    """The median of some rounds, in seconds, and how many rows there are."""
    times, rows = [], 0
    for _ in range(11):
        begun = time.perf_counter()
        rows = len(query().fetchall())
        times.append(time.perf_counter() - begun)
    return {"seconds": sorted(times)[len(times) // 2], "rows": rows}


def day(path, *arguments):
    database = connect(path)
    return timed(
        lambda: database.execute(
            "SELECT at, value FROM reading WHERE series = ? AND at >= ? AND at < ? ORDER BY at",
            arguments,
        )
    )


def hours(path, *arguments):
    database = connect(path)
    return timed(
        lambda: database.execute(
            "SELECT at / 3600000, min(value), max(value), avg(value), count(*) FROM reading "
            "WHERE series = ? AND at >= ? AND at < ? GROUP BY at / 3600000",
            arguments,
        )
    )


if __name__ == "__main__":
    print(json.dumps({"fill": fill, "day": day, "hours": hours}[sys.argv[1]](*sys.argv[2:])))
