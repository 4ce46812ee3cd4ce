"""Stories of the whole hub, told from outside over real sockets.

Each story starts a hub of its own (`capteur serve`, free ports on 127.0.0.1, a store that is
thrown away) and meets it with clients that are not ours: paho-mqtt, mosquitto_pub and
mosquitto_sub, python-zeroconf, plain sockets, HTTP. To run them:

    cargo build
    scripts/firmware check
    apt-get install mosquitto-clients faketime
    python3 -m venv .venv && .venv/bin/pip install -r tests/stories/requirements.txt
    .venv/bin/pytest tests/stories
    .venv/bin/ruff check tests/stories && .venv/bin/ruff format --check tests/stories

`CAPTEUR_BIN` names another binary than `target/debug/capteur`. A failed story's folder under
pytest's temporary directory has the hub's log (`hub.log`) and its settings.

What holds for every story is looked at when its hub ends: it lived to the end, stopped with
status 0 at SIGTERM, nothing panicked, no message was lost inside, and no session id stood in an
answer, an event or the log.

- `hub`: the process; `api`, `events`: its HTTP side
- `client`: any MQTT client; `device`: a board that plays the customer's protocol by hand
- `emulated`: a board that runs the firmware's logic in QEMU
- `fake_board`: a board in download mode on a pseudoterminal: a chip (`fake_chip`, `nor_flash`) with
  the loader in its ROM (`rom`) or the one that flashing tools put into its RAM (`stub`); what the
  two have in common is in `loader`; its partitions are read by `partition_table`
- `wire`: MQTT packets by hand, for what no library sends
- `disk`: a small disk to be filled, for which the story has to be root
- `waiting`: conditions in the place of sleeps
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api import Api
from device import Device
from hub import BINARY, Hub

StartHub = Callable[..., Hub]


def pytest_sessionstart() -> None:
    """Says once what every story would say."""
    if not BINARY.is_file():
        pytest.exit(f"there is no {BINARY}: build it, or set CAPTEUR_BIN", returncode=2)


@pytest.fixture
def make_hub(tmp_path: Path) -> Iterator[StartHub]:
    """Makes hubs that are not started yet, with settings as `{"mqtt.anonymous": "full"}`."""
    numbers, made = itertools.count(1), []

    def make(settings: dict[str, Any] | None = None) -> Hub:
        hub = Hub(tmp_path / f"hub{next(numbers)}", settings or {})
        made.append(hub)
        return hub

    yield make
    for hub in made:
        if hub.running:
            lost = Api(hub).metrics()["capteur_mqtt_messages_lost_total"]
            assert lost == 0, f"{lost} messages were lost in the router's log"
        hub.finish()


@pytest.fixture
def start_hub(make_hub: StartHub) -> StartHub:
    """Starts hubs with settings as `{"mqtt.anonymous": "full"}`."""
    return lambda settings=None, env=None: make_hub(settings).start(env)


@pytest.fixture
def hub(start_hub: StartHub) -> Hub:
    """A hub with the default settings."""
    return start_hub()


@pytest.fixture
def open_hub(start_hub: StartHub) -> Hub:
    """A hub whose broker is open to any client."""
    return start_hub({"mqtt.anonymous": "full"})


@pytest.fixture
def api(hub: Hub) -> Api:
    """The API of `hub`."""
    return Api(hub)


@pytest.fixture
def board(hub: Hub) -> Device:
    """A board that is online at `hub`."""
    return Device(hub).boot()
