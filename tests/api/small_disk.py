"""A file system of a few megabytes, which can be filled to the last byte. Mounting it takes root."""

import ctypes
import pathlib
import tempfile


class SmallDisk:
    def __init__(self, folder, size):
        folder.mkdir()
        self.folder, self.ballast = folder, folder / "ballast"
        self.libc = ctypes.CDLL(None, use_errno=True)
        options = f"size={size}".encode()
        self.mounted = self.libc.mount(b"none", str(folder).encode(), b"tmpfs", 0, options) == 0

    def fill(self):
        with open(self.ballast, "ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    pass

    def free(self):
        self.ballast.unlink()

    def unmount(self):
        detach = 2
        if self.mounted:
            self.libc.umount2(str(self.folder).encode(), detach)


def available():
    """Whether one can be mounted here."""
    with tempfile.TemporaryDirectory() as folder:
        disk = SmallDisk(pathlib.Path(folder) / "disk", "1m")
        disk.unmount()
        return disk.mounted
