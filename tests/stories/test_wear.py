"""The card: what is written to it is counted, and an idle hub writes nothing."""

import time
from pathlib import Path

from api import Api
from device import Device
from hub import Hub
from waiting import eventually

WRITTEN = "capteur_store_written_bytes_total"


def written(hub: Hub) -> int:
    """What the kernel says that the process has caused to be written, in bytes."""
    counts = dict(line.split(": ") for line in Path(f"/proc/{hub.pid}/io").read_text().splitlines())
    return int(counts["write_bytes"])


def test_an_idle_hub_writes_nothing_however_often_it_is_asked(start_hub) -> None:
    """No commit, and nothing of sled's own, while its flusher has had its turn a dozen times."""
    hub = start_hub({"store.flush_ms": 100})
    api, board = Api(hub), Device(hub).boot()
    board.report("led", 1, qos=1)
    last = [-1]

    def is_quiet() -> bool:
        before, last[0] = last[0], written(hub)
        time.sleep(1)
        return before == last[0]

    eventually(is_quiet, "end of what the start has to write", within=60)
    commits = api.metrics()["capteur_store_commits_total"]
    before = written(hub)
    for _ in range(12):
        assert api.get("/health").status == 200
        assert len(api.readings(board.mac, "led")) == 1
        time.sleep(0.5)
    assert written(hub) == before
    assert api.metrics()["capteur_store_commits_total"] == commits
    board.client.drop()


def test_what_is_written_is_counted(hub: Hub, api: Api, board: Device) -> None:
    """By the kernel's count; an estimate of the card's life needs some minutes."""
    for value in range(50):
        board.report("photoresistor", value, qos=1)
    eventually(lambda: api.metrics()[WRITTEN] >= 50 * 512, "count of 50 commits")
    assert api.metrics()[WRITTEN] <= written(hub)
    assert "capteur_store_card_life_days" not in api.metrics()
    board.client.drop()
