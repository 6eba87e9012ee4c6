"""A PostgreSQL of the tests' own: a cluster in a temporary folder, reachable by a socket alone."""

import os
import pathlib
import shutil
import subprocess
import tempfile


def programs():
    """The folder of initdb and pg_ctl (Debian's package postgresql); None where there is none."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Postgres:
    def __init__(self):
        self.bin = programs()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="prax-postgres-"))
        self.user = []
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            shutil.chown(self.folder, "postgres")
            self.user = ["runuser", "-u", "postgres", "--"]
        self.folder.chmod(0o755)
        self._run("initdb", "--no-sync", "--auth=trust", "--username=prax", "-D", self.folder / "data")
        self._control("start")
        self.databases = 0

    def _run(self, program, *arguments):
        subprocess.run([*self.user, self.bin / program, *arguments], check=True, cwd="/", stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def _control(self, *action):
        self._run("pg_ctl", "-w", "-D", self.folder / "data", "-l", self.folder / "log", "-o",
                  f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off", *action)

    def new_database(self) -> str:
        self.databases += 1
        name = f"prax{self.databases}"
        self._run("createdb", "-h", self.folder, "-U", "prax", name)
        return f"postgresql:///{name}?host={self.folder}&user=prax"

    def restart(self):
        """Ends all sessions at once, as an operator's hurry or a crash does."""
        self._control("-m", "immediate", "restart")

    def stop(self):
        self._control("-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)
