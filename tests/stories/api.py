"""The HTTP side of the hub, as a script sees it."""

import http.client
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from hub import Hub
from waiting import DEADLINE, eventually

RFC3339_MILLIS = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def type(self) -> str:
        """The media type without its parameters."""
        return self.headers.get("content-type", "").split(";")[0].strip()

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Api:
    """Calls under `/api/v1`; each answer is held against what the contract says of all answers."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float = 30,
    ) -> Answer:
        """One call. `body` is sent as JSON, or as it is where it is bytes."""
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(*self.hub.http, timeout=timeout)
        try:
            connection.request(method, path, body, sent)
            got = connection.getresponse()
            received = {name.lower(): value for name, value in got.getheaders()}
            answer = Answer(got.status, received, got.read())
        finally:
            connection.close()
        shown = f"{answer.headers} {answer.body.decode(errors='replace')}"
        self.hub.must_not_tell(shown, f"{method} {path}")
        if answer.status >= 400 and method != "HEAD":
            _must_be_a_problem(answer)
        return answer

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        """GET under `/api/v1`."""
        return self.request("GET", f"/api/v1{path}", headers=headers)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """A call under `/api/v1`; header names with `_` in the place of `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request(method, f"/api/v1{path}", body, named)

    # -- devices ------------------------------------------------------------------------------

    def devices(self) -> list[Json]:
        """All devices."""
        answer = self.get("/devices")
        assert answer.status == 200, answer
        return answer.json()["devices"]

    def device(self, key: str) -> Json:
        """One device, by name or MAC."""
        answer = self.get(f"/devices/{quote(key, safe='')}")
        assert answer.status == 200, answer
        return answer.json()

    def state(self, key: str) -> str | None:
        """A device's state, or `None` where it is unknown."""
        answer = self.get(f"/devices/{quote(key, safe='')}")
        return answer.json()["state"] if answer.status == 200 else None

    def wait_state(self, key: str, state: str, within: float = DEADLINE) -> Json:
        """The device, once it is in `state`."""
        eventually(lambda: self.state(key) == state, f"{key} {state}", within)
        return self.device(key)

    def wait_value(self, key: str, channel: str, value: Any) -> Json:
        """The channel's state, once it has `value`."""

        def shown() -> Json | None:
            state = self.device(key)["channels"][channel]
            return state if state and state["value"] == value else None

        return eventually(shown, f"{channel} of {key} at {value}")

    def rename(self, key: str, name: Any, **headers: str) -> Answer:
        """Renames a device."""
        return self.call("PATCH", f"/devices/{quote(key, safe='')}", {"name": name}, **headers)

    def forget(self, key: str) -> Answer:
        """Forgets a device."""
        return self.call("DELETE", f"/devices/{quote(key, safe='')}")

    def replace(self, key: str, mac: Any) -> Answer:
        """Gives a device another board."""
        return self.call("POST", f"/devices/{quote(key, safe='')}/replace", {"mac": mac})

    def undo_replacement(self, key: str) -> Answer:
        """Gives a device its old board back."""
        return self.call("DELETE", f"/devices/{quote(key, safe='')}/replace")

    def led(self, key: str, on: Any, wait: bool = True) -> Answer:
        """Switches an LED and waits for its confirmation, or not."""
        prefer = {} if wait else {"Prefer": "respond-async"}
        return self.call("PUT", f"/devices/{quote(key, safe='')}/led", {"on": on}, **prefer)

    def readings(self, key: str, channel: str, **query: Any) -> list[Any]:
        """The values of a channel's raw readings, oldest first."""
        return [value for _, value in self.points(key, channel, **query)]

    def points(self, key: str, channel: str, **query: Any) -> list[list[Any]]:
        """A channel's raw readings with their times, oldest first."""
        asked = urlencode({"resolution": "raw", "limit": 10_000} | query)
        answer = self.get(f"/devices/{quote(key, safe='')}/readings/{channel}?{asked}")
        assert answer.status == 200, answer
        return answer.json()["points"]

    def wait_readings(self, key: str, channel: str, values: list[Any]) -> None:
        """Returns once the channel's readings are exactly `values`."""
        eventually(
            lambda: self.readings(key, channel) == values,
            f"readings {values} of {channel} of {key}",
        )

    # -- metrics ------------------------------------------------------------------------------

    def metrics(self) -> dict[str, float]:
        """Every sample of `/metrics`, by its name with labels."""
        answer = self.request("GET", "/metrics")
        assert answer.status == 200, answer
        samples = {}
        for line in answer.text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples


def _must_be_a_problem(answer: Answer) -> None:
    """RFC 9457, with the members that the contract names."""
    assert answer.type == "application/problem+json", answer
    problem = answer.json()
    assert problem["status"] == answer.status, answer
    for member in ("type", "title", "detail"):
        assert isinstance(problem[member], str), answer
        assert problem[member], answer
