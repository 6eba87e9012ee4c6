"""Fills the library of a stopped server: its finished jobs again under new ids, sharing their files.
usage: many_clips.py DATA_FOLDER WANTED"""

import secrets
import sqlite3
import sys

folder, wanted = sys.argv[1], int(sys.argv[2])
database = sqlite3.connect(f"{folder}/prax.db")
database.row_factory = sqlite3.Row
jobs = [dict(row) for row in database.execute("SELECT * FROM jobs WHERE status = 'completed' ORDER BY created_at, id")]
version = database.execute("SELECT value FROM counters WHERE name = 'jobs'").fetchone()[0]
for i in range(wanted - len(jobs)):
    version += 1
    job = jobs[i % len(jobs)] | {"id": "video_" + secrets.token_hex(16), "version": version, "stored_bytes": 0}
    job["created_at"] += 1000 * (i + 1)
    database.execute(f"INSERT INTO jobs ({', '.join(job)}) VALUES ({', '.join('?' * len(job))})", tuple(job.values()))
database.execute("UPDATE counters SET value = ? WHERE name = 'jobs'", (version,))
database.commit()
