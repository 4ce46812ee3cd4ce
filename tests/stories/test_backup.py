"""Backups, restoring, compacting and exports, from the command line and over HTTP."""

import csv
import http.client
import io
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from api import Api
from device import Device
from hub import BINARY, Hub, capteur, clean_environment
from waiting import eventually


def configured(hub: Hub) -> list[str | Path]:
    """The arguments that name the hub's store."""
    return ["--config", hub.folder / "config.toml"]


def run(hub: Hub, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a command on the hub's store, which has to succeed."""
    done = capteur(*arguments, *configured(hub))
    assert (done.returncode, done.stderr) == (0, ""), done
    return done


def shown(api: Api, macs: list[str]) -> Any:
    """All that the API shows of boards: records, readings and logs."""
    devices = [api.device(mac) for mac in macs]
    readings = [api.points(mac, c) for mac in macs for c in ("led", "photoresistor")]
    logs = [api.get(f"/devices/{mac}/log?limit=1000").json()["entries"] for mac in macs]
    return devices, readings, logs


@pytest.fixture
def boards(hub: Hub) -> list[Device]:
    """Two boards that have said something and are offline, so that nothing changes any more."""
    boards = [Device(hub).boot() for _ in range(2)]
    for value in range(300):
        boards[value % 2].report("photoresistor", value % 101, qos=1)
    for board in boards:
        board.report("led", 1, qos=1)
    boards[0].api.rename(boards[0].mac, 'Salle "é", 1')
    for board in boards:
        board.client.close()
        board.wait_offline()
    return boards


def test_a_backup_of_a_running_hub_makes_the_same_hub_elsewhere(
    hub: Hub, make_hub, boards: list[Device], tmp_path: Path
) -> None:
    """Moving to a new Pi: backup, restore, start; and the boards go on with their sessions."""
    file, macs = tmp_path / "moved.capteur", [board.mac for board in boards]
    said = run(hub, "backup", file).stdout
    assert "2 devices, 302 readings" in said, said
    assert file.stat().st_mode & 0o777 == 0o600, "it has session ids"
    assert run(hub, "backup", "--verify", file).stdout == said
    before = shown(Api(hub), macs)
    hub.stop()

    other: Hub = make_hub()
    other.start()
    other.stop()
    said = run(other, "restore", file).stdout
    assert "replaced-" in said, said
    other.start()
    assert shown(Api(other), macs) == before

    board = Device(other, macs[0])
    board.current = boards[0].current
    other.secrets |= hub.secrets
    board.connect(with_will=True)
    board.listen()
    board.start()
    board.wait_online()
    assert Device(other).boot().name == "capteur03", "no name is given twice"


def test_a_backup_of_a_stopped_hub_is_the_same(
    hub: Hub, boards: list[Device], tmp_path: Path
) -> None:
    """No hub has to run, and none is started."""
    files = [tmp_path / "running.capteur", tmp_path / "stopped.capteur"]
    first = run(hub, "backup", files[0]).stdout
    hub.stop()
    assert not (Path(hub.settings["store.path"]) / "ADDRESSES").exists()
    second = run(hub, "backup", files[1]).stdout
    assert first.splitlines()[1:] == second.splitlines()[1:]
    hub.start()
    assert len(boards[0].api.devices()) == 2


def test_a_backup_goes_through_pipes(hub: Hub, boards: list[Device]) -> None:
    """`-` is the standard output, and, to verify, the standard input."""
    command = [BINARY, "backup", "-", *configured(hub)]
    piped = subprocess.run(command, capture_output=True, env=clean_environment(), check=True)
    assert b"302 readings" in piped.stderr
    check = [BINARY, "backup", "--verify", "-"]
    good = subprocess.run(check, input=piped.stdout, capture_output=True, check=True)
    assert b"302 readings" in good.stdout
    cut = subprocess.run(check, input=piped.stdout[:-1], capture_output=True, check=False)
    assert cut.returncode == 1
    assert b"cut off" in cut.stderr
    assert len(boards) == 2


def test_damaged_backups_are_refused_and_the_store_stays(
    hub: Hub, boards: list[Device], tmp_path: Path
) -> None:
    """Cut, flipped, foreign, newer: the file and the place are named."""
    file, macs = tmp_path / "a.capteur", [board.mac for board in boards]
    run(hub, "backup", file)
    good = file.read_bytes()
    before = shown(Api(hub), macs)
    hub.stop()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    newer = bytearray(good)
    newer[16] += 1
    for bad, word in [
        (good[:-1], f"cut off after {len(good) - 1} bytes"),
        (bytes(flipped), "is damaged at byte"),
        (good + b"x", f"is damaged at byte {len(good)}"),
        (bytes(newer), "newer"),
        (b"PK\3\4 something else", "no backup"),
        (b"", "cut off after 0 bytes"),
    ]:
        file.write_bytes(bad)
        for command in (["backup", "--verify", file], ["restore", file, *configured(hub)]):
            refused = capteur(*command)
            assert refused.returncode == 1
            assert str(file) in refused.stderr
            assert word in refused.stderr, refused.stderr
    hub.start()
    assert shown(Api(hub), macs) == before


def test_no_file_is_replaced_unless_it_is_asked_for(hub: Hub, tmp_path: Path) -> None:
    """`--force`; and a backup that fails leaves nothing behind."""
    file = tmp_path / "backups" / "a.capteur"
    file.parent.mkdir()
    file.write_text("precious")
    refused = capteur("backup", file, *configured(hub))
    assert refused.returncode == 1
    assert str(file) in refused.stderr
    assert file.read_text() == "precious"
    run(hub, "backup", file, "--force")
    assert capteur("backup", "--verify", file).returncode == 0
    absent = tmp_path / "absent" / "a.capteur"
    refused = capteur("backup", absent, *configured(hub))
    assert refused.returncode == 1
    assert str(absent.parent) in refused.stderr
    assert [path.name for path in file.parent.iterdir()] == ["a.capteur"]


def test_restore_and_compact_refuse_while_a_hub_runs(hub: Hub, tmp_path: Path) -> None:
    """With a message that says what to do."""
    file = tmp_path / "a.capteur"
    run(hub, "backup", file)
    for command in (["restore", file], ["compact"]):
        refused = capteur(*command, *configured(hub))
        assert refused.returncode == 1
        assert "a hub runs on the store" in refused.stderr
        assert hub.settings["store.path"] in refused.stderr
    assert Api(hub).get("/health").status == 200


@pytest.mark.parametrize("command", [["backup", "a.capteur"], ["export"], ["compact"]])
def test_a_folder_without_a_store_is_named_and_stays_empty(
    tmp_path: Path, command: list[str]
) -> None:
    """No empty store is made and copied in silence."""
    ended = capteur(*command, cwd=tmp_path, env={"STATE_DIRECTORY": str(tmp_path / "none")})
    assert ended.returncode == 1
    assert str(tmp_path / "none") in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_compacted_store_is_smaller_and_holds_the_same(hub: Hub, boards: list[Device]) -> None:
    """`capteur compact`."""
    macs = [board.mac for board in boards]
    before = shown(Api(hub), macs)
    hub.stop()
    assert "bytes won" in run(hub, "compact").stdout
    names = {path.name for path in Path(hub.settings["store.path"]).iterdir()}
    assert not {name for name in names if name.startswith(("replaced-", "sled."))}, names
    hub.start()
    assert shown(Api(hub), macs) == before


def test_a_backup_that_is_cut_has_no_end(hub: Hub, boards: list[Device], tmp_path: Path) -> None:
    """The hub dies while it is taken: the transfer is seen to be cut, and so is the file."""
    connection = http.client.HTTPConnection(*hub.http, timeout=30)
    connection.request("GET", "/api/v1/backup")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.getheader("Content-Type") == "application/octet-stream"
    assert answer.getheader("Content-Length") is None
    whole = answer.read()
    connection.close()
    file = tmp_path / "a.capteur"
    file.write_bytes(whole[: len(whole) // 2])
    assert capteur("backup", "--verify", file).returncode == 1
    file.write_bytes(whole)
    assert capteur("backup", "--verify", file).returncode == 0
    assert len(boards) == 2


def test_an_export_is_the_same_from_the_hub_the_command_and_the_store(
    hub: Hub, boards: list[Device], tmp_path: Path
) -> None:
    """CSV, JSON and JSON by the line, with filters."""
    api = Api(hub)
    queries: list[tuple[str, list[str]]] = [
        ("", []),
        ("format=json", ["--format", "json"]),
        ("format=ndjson&channel=led", ["--format", "ndjson", "--channel", "led"]),
        (f"device={boards[1].mac.lower()}", ["--device", boards[1].mac]),
        ("from=2100-01-01T00:00:00Z", ["--from", "2100-01-01T00:00:00Z"]),
    ]
    answers = [api.get(f"/export?{query}").text for query, _ in queries]
    for answer, (_, options) in zip(answers, queries, strict=True):
        assert run(hub, "export", *options).stdout == answer.replace("\r\n", "\n")
    hub.stop()
    file = tmp_path / "table"
    for answer, (_, options) in zip(answers, queries, strict=True):
        run(hub, "export", *options, "--output", file)
        assert file.read_bytes().decode() == answer

    rows = list(csv.DictReader(io.StringIO(answers[0])))
    assert rows == [
        {k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()}
        for row in json.loads(answers[1])
    ]
    assert len(rows) == 302
    assert {row["name"] for row in rows} == {'Salle "é", 1', "capteur02"}
    assert [row["channel"] for row in rows[:2]] == ["led", "photoresistor"]
    assert [json.loads(line)["value"] for line in answers[2].splitlines()] == [True, True]
    assert answers[4] == "time,mac,name,channel,value\r\n"

    refused = capteur("export", "--device", "nobody", *configured(hub))
    assert refused.returncode == 1
    assert "nobody" in refused.stderr
    for option in (["--channel", "sound"], ["--format", "xml"], ["--from", "yesterday"]):
        assert capteur("export", *option, *configured(hub)).returncode == 64
    turned = capteur("export", "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z")
    assert turned.returncode == 64


def test_an_export_ends_with_its_reader(hub: Hub) -> None:
    """Who leaves in the middle is let go, and takes no place any more."""
    board = Device(hub).boot()
    for value in range(20_000):
        board.client.send("photoresistor/status", f"{board.current.pair};{value % 101}", 0)
    eventually(lambda: stored(hub) >= 20_000, "20,000 readings stored")
    api = Api(hub)
    assert api.get("/export").text.count("\r\n") == stored(hub) + 1
    for _ in range(20):
        connection = http.client.HTTPConnection(*hub.http, timeout=30)
        connection.request("GET", "/api/v1/export?format=json")
        answer = connection.getresponse()
        # There is a limited number of places; one that was left is free again in a moment.
        assert answer.status in (200, 503)
        assert answer.read(1) == (b"[" if answer.status == 200 else b"{")
        connection.close()
    eventually(lambda: api.get("/export").status == 200, "a place for an export")


def stored(hub: Hub) -> int:
    """How many readings the hub has stored."""
    return int(Api(hub).metrics()["capteur_store_readings"])


def test_a_backup_can_be_interrupted(hub: Hub, tmp_path: Path) -> None:
    """Ctrl-C leaves no half file; here it may also have come too late."""
    folder = tmp_path / "backups"
    folder.mkdir()
    process = subprocess.Popen(
        [BINARY, "backup", folder / "a.capteur", *configured(hub)],
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    process.send_signal(signal.SIGINT)
    process.wait(30)
    assert [path.name for path in folder.iterdir()] in ([], ["a.capteur"])
