"""A small disk that a story can fill."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MB = 1_000_000
BLOCK = 4096


class Disk:
    """A file system of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fills = 0

    def free(self) -> int:
        """How much room there is, in bytes."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Takes the room that there is now, but `leave` bytes, as another program would.

        What is given back meanwhile is left alone.
        """
        self._fills += 1
        taken, rest = 0, self.free() - leave
        with (self.path / f"fill{self._fills}").open("wb") as file:
            step = rest
            while rest > 0 and step >= BLOCK:
                step = min(step, rest)
                try:
                    os.posix_fallocate(file.fileno(), taken, step)
                    taken, rest = taken + step, rest - step
                except OSError as refused:
                    if refused.errno != errno.ENOSPC:
                        raise
                    # The hub was faster: what it has left.
                    step //= 2

    def clear(self) -> None:
        """Gives it back."""
        for file in self.path.glob("fill*"):
            file.unlink()


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[Disk]:
    """Mounts a file system of so many MB; root may, or who has sudo without a password."""
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    path.mkdir()
    options = f"size={megabytes * MB},mode=0700,uid={os.geteuid()}"
    subprocess.run([*root, "mount", "-t", "tmpfs", "-o", options, "capteur-test", path], check=True)
    try:
        yield Disk(path)
    finally:
        subprocess.run([*root, "umount", "--lazy", path], check=True)
