"""A small disk that a story can fill."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MB = 1_000_000


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
        """Takes all room but `leave` bytes, as another program would."""
        self._fills += 1
        with (self.path / f"fill{self._fills}").open("wb") as file:
            while (rest := self.free() - leave) > 0:
                os.posix_fallocate(file.fileno(), file.tell(), rest)
                file.seek(rest, os.SEEK_CUR)

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
