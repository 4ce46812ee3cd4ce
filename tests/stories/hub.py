"""The hub under test: one `capteur serve` process with a store and ports of its own."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Protocol

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("CAPTEUR_BIN", REPOSITORY / "target/debug/capteur")).resolve()

START_DEADLINE = 60.0
STOP_DEADLINE = 60.0

Address = tuple[str, int]


class Closable(Protocol):
    """A client of the hub that is to be closed with it."""

    def close(self) -> None:
        """Lets go of the hub."""


class HubEndedError(Exception):
    """The process ended while it should have been starting."""

    def __init__(self, status: int, log: str) -> None:
        super().__init__(f"the hub ended with status {status}:\n{log}")
        self.status = status
        self.log = log


def clean_environment() -> dict[str, str]:
    """This process's environment without what a hub would take as addressed to it."""
    mine = ("CAPTEUR_", "NOTIFY_SOCKET", "WATCHDOG_", "STATE_DIRECTORY", "JOURNAL_STREAM")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(mine)}
    return environment | {"RUST_BACKTRACE": "1"}


def wrong_clock(fake: str) -> dict[str, str]:
    """An environment in which the time of day is `fake`, as Debian's faketime understands it."""
    return _faketime() | {"FAKETIME": fake}


def settable_clock(file: Path) -> dict[str, str]:
    """An environment in which the time of day is what `file` says at any moment."""
    return _faketime() | {"FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1"}


def _faketime() -> dict[str, str]:
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    # Durations are real, and so are the times of files: what is wrong after a power cut is the
    # time of day alone.
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


def capteur(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    environment = clean_environment() | options.pop("env", {})
    return subprocess.run(
        [BINARY, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


class Hub:
    """A hub process; can be stopped, killed and started again on the same store and ports."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.settings: dict[str, Any] = {
            "mqtt.listen": "127.0.0.1:0",
            "http.listen": "127.0.0.1:0",
            "store.path": str(folder / "store"),
        } | settings
        self.mqtt: Address = ("", 0)
        self.http: Address = ("", 0)
        # Session ids that were heard: no answer, event, metric or log line may show one.
        self.secrets: set[str] = set()
        self._opened: list[Closable] = []
        self._process: subprocess.Popen[bytes] | None = None

    # -- life ---------------------------------------------------------------------------------

    def start(self, env: dict[str, str] | None = None) -> "Hub":
        """Starts the process and waits until it listens; later starts take the same ports."""
        config, addresses = self.folder / "config.toml", self.folder / "addresses.json"
        config.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in self.settings.items()))
        addresses.unlink(missing_ok=True)
        arguments = ["serve", "--config", config, "--addresses-file", addresses]
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [BINARY, *arguments],
                env=clean_environment() | (env or {}),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # What this interpreter ignores stays ignored: SIGXFSZ, for a disk that is full.
                restore_signals=False,
            )
        deadline = time.monotonic() + START_DEADLINE
        while not addresses.exists():
            if (status := self._process.poll()) is not None:
                self._process = None
                raise HubEndedError(status, self.log())
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"the hub does not start:\n{self.log()}")
            time.sleep(0.01)
        told = json.loads(addresses.read_text())
        self.mqtt, self.http = _address(told["mqtt"]), _address(told["http"])
        self.settings |= {"mqtt.listen": told["mqtt"], "http.listen": told["http"]}
        return self

    def start_refused(self) -> HubEndedError:
        """Starts the process, which has to end by itself: with what status and log."""
        try:
            self.start()
        except HubEndedError as refused:
            return refused
        # The ports are open before the store is: a refusal may come a moment after the start.
        return HubEndedError(self.wait_ended(), self.log())

    def wait_ended(self) -> int:
        """Waits until the process has ended by itself: the exit status."""
        assert self._process is not None, "the hub was not started"
        status = self._process.wait(START_DEADLINE)
        self._process = None
        return status

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL: the power cut. The exit status is -9."""
        return self._end(signal.SIGKILL)

    def restart(self, env: dict[str, str] | None = None) -> None:
        """A clean stop and a start."""
        assert self.stop() == 0, self.log()
        self.start(env)

    def kill_and_start(self) -> None:
        """A power cut and a start."""
        self.kill()
        self.start()

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def _end(self, how: signal.Signals) -> int:
        assert self._process is not None, "the hub was not started"
        self._process.send_signal(how)
        try:
            return self._process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired as stuck:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the hub does not stop at {how.name}:\n{self.log()}") from stuck
        finally:
            self._process = None

    # -- what it leaves behind ----------------------------------------------------------------

    @property
    def _log_file(self) -> Path:
        return self.folder / "hub.log"

    def log(self) -> str:
        """Everything that it has logged, over all its starts."""
        return self._log_file.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def resident_bytes(self) -> int:
        """Its resident memory."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS in /proc")

    # -- its end ------------------------------------------------------------------------------

    def closes(self, client: Closable) -> None:
        """Has `client` closed at the end of the story."""
        self._opened.append(client)

    def finish(self) -> None:
        """Ends the story: what holds for every hub is looked at, and nothing is left running."""
        try:
            for client in self._opened:
                client.close()
            status = self.stop() if self._process is not None else 0
        finally:
            if self._process is not None:
                self.kill()
        log = self.log() if self._log_file.exists() else ""
        assert "panicked" not in log, log
        assert status == 0, f"exit status {status}:\n{log}"
        self.must_not_tell(log, "the log")

    def must_not_tell(self, text: str, where: str) -> None:
        """Session ids are secrets between hub and device (contract, section 4)."""
        for secret in list(self.secrets):  # boards on other threads hear more
            assert secret not in text, f"{where} shows a session id:\n{text}"


def _address(text: str) -> Address:
    host, port = text.rsplit(":", 1)
    return host, int(port)
