"""The service manager's side: a stand-in for its socket hears ready, alive and stopping."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from api import Api
from hub import Hub


class Manager:
    """Listens where `NOTIFY_SOCKET` points (sd_notify(3))."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(20)

    def wait(self, state: str, count: int = 1) -> None:
        """Returns once `state` was heard so many times."""
        while self.heard.count(state) < count:
            self.heard += self._socket.recv(4096).decode().splitlines()

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()


@pytest.fixture
def manager() -> Iterator[Manager]:
    """A stand-in; its path is short, as the address of a socket has to be."""
    with tempfile.TemporaryDirectory(prefix="capteur-") as folder:
        made = Manager(Path(folder) / "notify")
        yield made
        made.close()


def test_ready_alive_and_stopping_are_told(make_hub, manager: Manager) -> None:
    """READY=1 once it listens, WATCHDOG=1 again and again, STOPPING=1 at SIGTERM."""
    hub: Hub = make_hub()
    hub.start({"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000"})
    manager.wait("READY=1")
    assert Api(hub).get("/health").status == 200
    manager.wait("WATCHDOG=1", 5)
    assert any(line.startswith("STATUS=") for line in manager.heard)
    assert "STOPPING=1" not in manager.heard
    assert hub.stop() == 0
    manager.wait("STOPPING=1")
    assert manager.heard.count("READY=1") == 1


def test_no_watchdog_is_fed_where_none_is_set(make_hub, manager: Manager) -> None:
    """Without `WATCHDOG_USEC`, or where it is meant for another process."""
    for meant in ({}, {"WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"}):
        manager.heard.clear()
        hub: Hub = make_hub()
        hub.start({"NOTIFY_SOCKET": str(manager.path)} | meant)
        manager.wait("READY=1")
        assert hub.stop() == 0
        manager.wait("STOPPING=1")
        assert "WATCHDOG=1" not in manager.heard
