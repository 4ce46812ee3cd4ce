"""A reader of the SSE stream."""

import http.client
import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hub import Hub
from waiting import DEADLINE, eventually

# The contract promises a comment at least every 15 s.
SILENCE_MAX = 20.0

EVENT_ID = re.compile(r"^(\d+)-(\d+)$")


@dataclass(frozen=True)
class Event:
    """One event of the stream."""

    id: str
    name: str
    data: Any

    @property
    def place(self) -> tuple[int, int]:
        """Boot and sequence."""
        found = EVENT_ID.match(self.id)
        assert found, f"the event id {self.id!r} is not <boot>-<sequence>"
        return int(found[1]), int(found[2])


class Events:
    """Reads the stream on a thread of its own and keeps everything."""

    def __init__(self, hub: Hub, last_event_id: str | None = None) -> None:
        self.seen: list[Event] = []
        self.retry: int | None = None
        self.comments = 0
        self.ended = threading.Event()
        self._hub = hub
        connection = http.client.HTTPConnection(*hub.http, timeout=SILENCE_MAX)
        connection.connect()
        self._socket = connection.sock
        headers = {"Accept": "text/event-stream"}
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        connection.request("GET", "/api/v1/events", headers=headers)
        self._response = connection.getresponse()
        assert self._response.status == 200, self._response.read()
        kind = self._response.getheader("Content-Type", "")
        assert kind.startswith("text/event-stream"), kind
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        hub.closes(self)

    def close(self) -> None:
        """Ends the reader."""
        with suppress(OSError):
            self._socket.shutdown(2)
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        fields: dict[str, str] = {}
        # The end of the hub, or our own.
        with suppress(OSError, http.client.HTTPException, ValueError):
            while raw := self._response.readline():
                line = raw.decode().rstrip("\r\n")
                self._hub.must_not_tell(line, "the event stream")
                if not line:
                    self._dispatch(fields)
                    fields = {}
                elif line.startswith(":"):
                    self.comments += 1
                else:
                    name, _, value = line.partition(":")
                    value = value.removeprefix(" ")
                    fields[name] = f"{fields[name]}\n{value}" if name in fields else value
        self.ended.set()

    def _dispatch(self, fields: dict[str, str]) -> None:
        if "retry" in fields:
            self.retry = int(fields["retry"])
        if "data" in fields:
            event = Event(fields["id"], fields.get("event", "message"), json.loads(fields["data"]))
            self.seen.append(event)

    # -- asking -------------------------------------------------------------------------------

    def named(self, *names: str) -> list[Event]:
        """Everything seen under these names."""
        return [event for event in list(self.seen) if event.name in names]

    def wait(
        self, name: str, where: Callable[[Any], Any] = lambda _: True, within: float = DEADLINE
    ) -> Event:
        """The first event of this name whose data is as asked."""

        def found() -> Event | None:
            return next((event for event in self.named(name) if where(event.data)), None)

        return eventually(found, f"event {name}", within)

    def snapshot(self) -> list[Any]:
        """The devices of the first snapshot."""
        return self.wait("snapshot").data["devices"]
