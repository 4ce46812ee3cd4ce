"""The command line, settings and exit statuses: what a package manager and a person see."""

import json
import socket
import tomllib
from pathlib import Path

import pytest

from api import Api
from device import Device
from hub import Hub, capteur

BAD = [
    ("[mqtt]\nlisen = '127.0.0.1:0'\n", "mqtt.lisen"),
    ("colour = 'red'\n", "colour"),
    ("[store]\nflush_ms = 0\n", "store.flush_ms"),
    ("[store]\nflush_ms = 'soon'\n", "store.flush_ms"),
    ("[mqtt]\nlisten = 'here'\n", "mqtt.listen"),
    ("[mqtt]\nlisten = '127.0.0.1:99999'\n", "mqtt.listen"),
    ("[mqtt]\nanonymous = 'some'\n", "mqtt.anonymous"),
    ("[mqtt]\nmax_connections = -5\n", "mqtt.max_connections"),
    ("[http]\nlisten = 80\n", "http.listen"),
    ("[devices]\nname_prefix = 'a;b'\n", "devices.name_prefix"),
    ("[devices]\nadoption = 'maybe'\n", "devices.adoption"),
    ("[commands]\nconfirm_timeout_ms = -1\n", "commands.confirm_timeout_ms"),
    ("[log]\nlevel = 'loud'\n", "log.level"),
]


@pytest.mark.parametrize(("text", "key"), BAD, ids=[key for _, key in BAD])
@pytest.mark.parametrize("command", [["serve"], ["config", "check"], ["config", "print"]])
def test_bad_settings_end_with_64_naming_the_key_and_the_file(
    tmp_path: Path, command: list[str], text: str, key: str
) -> None:
    """64 for bad arguments or settings."""
    file = tmp_path / "mine.toml"
    file.write_text(text)
    ended = capteur(*command, "--config", file, cwd=tmp_path)
    assert ended.returncode == 64
    assert key in ended.stderr
    assert str(file) in ended.stderr
    assert ended.stdout == ""
    assert "panicked" not in ended.stderr


def test_access_tokens_are_refused_until_they_exist(make_hub) -> None:
    """`auth.required = true` is refused at start with a clear message, not ignored."""
    refused = make_hub({"auth.required": True}).start_refused()
    assert refused.status == 64
    assert "auth.required" in refused.log


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sreve"],
        ["serve", "--colour"],
        ["config"],
        ["simulate"],
        ["simulate", "--devices", "x"],
    ],
)
def test_bad_arguments_end_with_64(arguments: list[str]) -> None:
    """With a way to the usage on the standard error."""
    ended = capteur(*arguments)
    assert ended.returncode == 64
    assert "Usage" in ended.stderr or "--help" in ended.stderr


def test_help_and_version_are_answers() -> None:
    """Status 0, on the standard output."""
    for arguments in (["--help"], ["serve", "--help"], ["--version"], ["help", "simulate"]):
        ended = capteur(*arguments)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout


def test_a_missing_settings_file_is_named(tmp_path: Path) -> None:
    """No silent fall-back to the defaults."""
    ended = capteur("serve", "--config", tmp_path / "absent.toml")
    assert ended.returncode == 64
    assert "absent.toml" in ended.stderr


def test_config_check_and_print(tmp_path: Path) -> None:
    """What is printed is TOML, has every key, and can be loaded again."""
    file = tmp_path / "mine.toml"
    file.write_text("[store]\nflush_ms = 250\n")
    assert capteur("config", "check", "--config", file).returncode == 0
    environment = {"CAPTEUR_HTTP__LISTEN": "127.0.0.1:8081", "CAPTEUR_DEVICES__NAME_PREFIX": "esp"}
    printed = capteur("config", "print", "--config", file, env=environment)
    assert printed.returncode == 0
    settings = tomllib.loads(printed.stdout)
    assert settings["store"]["flush_ms"] == 250
    assert settings["http"]["listen"] == "127.0.0.1:8081"
    assert settings["devices"]["name_prefix"] == "esp"
    assert settings["mqtt"]["anonymous"] == "device"
    assert settings["commands"]["confirm_timeout_ms"] == 2000
    again = tmp_path / "again.toml"
    again.write_text(printed.stdout)
    assert capteur("config", "print", "--config", again).stdout == printed.stdout


def test_the_environment_wins_and_is_named(make_hub, tmp_path: Path) -> None:
    """`CAPTEUR_HTTP__LISTEN` sets `[http] listen`; a mistake there is the environment's."""
    hub: Hub = make_hub({"devices.name_prefix": "file"})
    hub.start({"CAPTEUR_DEVICES__NAME_PREFIX": "env"})
    assert Device(hub).boot().name == "env01"
    ended = capteur("config", "check", env={"CAPTEUR_STORE__FLUSH": "1"}, cwd=tmp_path)
    assert ended.returncode == 64
    assert "store.flush" in ended.stderr
    assert "environment" in ended.stderr


def test_state_directory_is_where_the_store_is_by_default(make_hub, tmp_path: Path) -> None:
    """`$STATE_DIRECTORY`, else `./capteur-data`."""
    hub: Hub = make_hub()
    del hub.settings["store.path"]
    hub.start({"STATE_DIRECTORY": str(tmp_path / "state")})
    assert Device(hub).boot().name == "capteur01"
    hub.stop()
    assert any((tmp_path / "state").iterdir())
    hub.start()
    assert (hub.folder / "capteur-data").is_dir()


def test_addresses_are_logged_and_written(hub: Hub) -> None:
    """One log line for each listener, and the file with both addresses."""
    told = json.loads((hub.folder / "addresses.json").read_text())
    assert set(told) >= {"mqtt", "http"}
    for address in told.values():
        assert address.startswith("127.0.0.1:")
        lines = [line for line in hub.log().splitlines() if address in line]
        assert len(lines) == 1, lines
    assert hub.mqtt[1] != hub.http[1]


def test_a_taken_port_is_an_error_that_names_it(make_hub) -> None:
    """Status 1, and no store is touched."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for key in ("mqtt.listen", "http.listen"):
            refused = make_hub({key: address}).start_refused()
            assert refused.status == 1
            assert address in refused.log
            assert key in refused.log


def test_a_second_hub_on_the_same_store_is_refused(hub: Hub, make_hub, board: Device) -> None:
    """With a message that says so; the first one does not notice."""
    second: Hub = make_hub({"store.path": hub.settings["store.path"]})
    refused = second.start_refused()
    assert refused.status == 1
    message = refused.log.splitlines()[-1]
    assert hub.settings["store.path"] in message
    assert any(word in message for word in ("another", "in use", "lock")), message
    board.report("led", 1, qos=1)
    assert board.state == "online"


def test_a_store_that_cannot_be_made_is_named(make_hub, tmp_path: Path) -> None:
    """Status 1."""
    (tmp_path / "file").write_text("in the way")
    hub: Hub = make_hub({"store.path": str(tmp_path / "file" / "store")})
    refused = hub.start_refused()
    assert refused.status == 1
    assert str(tmp_path / "file") in refused.log


def test_a_name_prefix_is_used(start_hub) -> None:
    """`devices.name_prefix`."""
    assert Device(start_hub({"devices.name_prefix": "salle é"})).boot().name == "salle é01"


def test_adoption_closed_ignores_newcomers_and_keeps_the_known(hub: Hub, board: Device) -> None:
    """`closed` ignores it."""
    hub.settings["devices.adoption"] = "closed"
    board.client.drop()
    hub.restart()
    stranger = Device(hub)
    stranger.connect()
    stranger.listen()
    stranger.client.publish("state/join", stranger.mac, 2)
    board.boot()
    assert board.name == "capteur01"
    assert [d["mac"] for d in Api(hub).devices()] == [board.mac]
    assert stranger.told() == []


def test_stop_is_clean_with_clients_of_all_kinds(hub: Hub, board: Device) -> None:
    """SIGTERM: exit status 0, whatever is connected."""
    idle = socket.create_connection(hub.http)
    half = socket.create_connection(hub.http)
    half.sendall(b"GET /api/v1/dev")
    silent = socket.create_connection(hub.mqtt)
    assert board.state == "online"
    assert hub.stop() == 0
    for held in (idle, half, silent):
        held.close()
    assert "panicked" not in hub.log()
