"""`capteur demo`: the first minute of a visitor, and `capteur simulate` against any broker."""

import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from api import Api
from hub import BINARY, Hub, clean_environment
from waiting import eventually


@pytest.fixture
def demo(make_hub) -> Iterator[tuple[Hub, "subprocess.Popen[str]"]]:
    """A demo with two boards; the hub in it is asked like any other."""
    running = subprocess.Popen(
        [BINARY, "demo", "--devices", "2"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    hub: Hub = make_hub()
    text = ""
    assert running.stdout is not None
    while "Ctrl-C" not in text:
        line = running.stdout.readline()
        assert line, running.communicate()
        text += line
    page = re.search(r"http://(127\.0\.0\.1):(\d+)/", text)
    assert page, text
    hub.http = (page[1], int(page[2]))
    yield hub, running
    if running.poll() is None:
        running.kill()
    running.communicate()


def test_a_visitor_sees_boards_join_shine_and_obey(demo) -> None:
    """On loopback addresses and a temporary store; Ctrl-C ends it with status 0."""
    hub, running = demo
    api = Api(hub)
    eventually(lambda: [d["state"] for d in api.devices()] == ["online"] * 2, "2 boards", 40)
    eventually(lambda: all(d["channels"]["photoresistor"] for d in api.devices()), "light", 40)
    for on in (True, False):
        assert api.led("capteur02", on).json()["state"] == "confirmed"
    running.send_signal(signal.SIGINT)
    _, complaints = running.communicate(timeout=30)
    assert running.returncode == 0, complaints
    assert "panicked" not in complaints
    assert "ERROR" not in complaints
