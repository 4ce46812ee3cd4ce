"""`capteur flash` at a board that is faked, whose flash is looked at with other programs.

What no story here shows is a board: DTR and RTS, the chips' own USB, real flash, and whether the
image starts.
"""

import csv
import dataclasses
import fcntl
import hashlib
import hmac
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api import Api
from device import Device
from fake_board import MIB, FakeBoard
from fake_chip import CHIPS
from hub import BINARY, REPOSITORY, Hub, capteur
from loader import Op
from package import settings_in
from partition_table import Partition, partitions
from waiting import eventually

PACKAGE = REPOSITORY / "target/firmware-check"

BOOT_LOADER, APPLICATION, CONFIG = 0x0, 0x1_0000, 0x3D_0000
SECTOR = 4096

PASSWORD = "correct horse battery"
WIFI = ["--wifi", "Home network"]
SECRET = {"CAPTEUR_WIFI_PASSWORD": PASSWORD}

USAGE, FAILURE = 64, 1


@pytest.fixture(scope="session")
def package() -> dict[str, Any]:
    """The package with the image of the ESP32-C3: what its manifest says of that."""
    manifest = PACKAGE / "manifest.json"
    assert manifest.is_file(), f"there is no {manifest}: scripts/firmware check builds it"
    (image,) = json.loads(manifest.read_text())["images"]
    assert image["chip"] == "esp32c3"
    return image


@pytest.fixture
def image(package: dict[str, Any]) -> bytes:
    """The image of the ESP32-C3."""
    return (PACKAGE / package["file"]).read_bytes()


@pytest.fixture
def board() -> Iterator[FakeBoard]:
    """An ESP32-C3 whose flash has never been written."""
    with FakeBoard() as board:
        yield board


def flash(
    board: FakeBoard | Path,
    *arguments: str | Path,
    images: Path = PACKAGE,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs the command at a board, or at a port."""
    port = board.port if isinstance(board, FakeBoard) else board
    options = ["--port", port, "--no-reset", "--no-wait", "--images", images]
    done = capteur("flash", *options, *arguments, env=SECRET if env is None else env)
    said = done.stdout + done.stderr
    assert "panicked" not in said, said
    assert PASSWORD not in said, said
    return done


def flashed(board: FakeBoard, *arguments: str | Path, env: dict[str, str] | None = None) -> str:
    """The same, where nothing goes wrong: what it said."""
    done = flash(board, *arguments, env=env)
    assert done.returncode == 0, done.stderr
    assert not board.refused, "the board did not obey"
    board.press_reset()  # as a person does who is told to
    return done.stdout


def with_secret(folder: Path, secret: str) -> list[str | Path]:
    """The option for a hub whose boards' keys are made from this."""
    file = folder / "config.toml"
    file.write_text(f"mqtt.device_key = {json.dumps(secret)}\n")
    return ["--config", file]


def refused(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """It ended with this status, and said why in one message that has these words."""
    assert done.returncode == status, done.stderr
    for word in words:
        assert word in done.stderr
    assert "Written" not in done.stdout


def of(board: FakeBoard) -> dict[str, Any]:
    """The settings in the board's flash."""
    return settings_in(board.flash.read(CONFIG, SECTOR))


def everything(board: FakeBoard) -> bytes:
    """All of the board's flash."""
    return board.flash.read(0, len(board.flash))


# -- what is written ------------------------------------------------------------------------------


def test_a_new_board_gets_firmware_that_esptool_finds_whole(
    package: dict[str, Any], board: FakeBoard, tmp_path: Path
) -> None:
    """Boot loader and application, each with its checksums, chip and version."""
    assert "Written and checked" in flashed(board, *WIFI)
    (tmp_path / "flash").write_bytes(everything(board))
    for name, start, end in (
        ("boot loader", BOOT_LOADER, 0x8000),
        ("application", APPLICATION, APPLICATION + package["application_size"]),
    ):
        file = tmp_path / name
        file.write_bytes(board.flash.read(start, end - start))
        done = subprocess.run(
            [sys.executable, "-m", "esptool", "--chip", "esp32c3", "image-info", file],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said = done.stdout
        assert "Chip ID: 5 (ESP32-C3)" in said, said
        assert said.count("(valid)") == 2, said
    assert f"App version: {package['version']}" in said, said
    assert "Project name: capteur-esp32c3" in said, said


def test_a_new_board_gets_the_partitions_of_the_firmware(board: FakeBoard) -> None:
    """Those of firmware/esp32/partitions.csv, with the digest that the boot loader checks."""
    flashed(board, *WIFI)
    kinds = {"app": 0, "data": 1}
    subtypes = {"ota": 0, "phy": 1, "nvs": 2, "undefined": 6, "ota_0": 0x10, "ota_1": 0x11}
    lines = (REPOSITORY / "firmware/esp32/partitions.csv").read_text().splitlines()
    rows = csv.reader(line for line in lines if not line.startswith("#"))
    wanted = [
        Partition(name, kinds[kind], subtypes[subtype], int(offset, 0), int(size, 0))
        for name, kind, subtype, offset, size in ([cell.strip() for cell in row] for row in rows)
    ]
    content = everything(board)
    assert partitions(content) == wanted
    end = 0x8000 + 32 * len(wanted)
    digest = hashlib.md5(content[0x8000:end]).digest()
    assert content[end : end + 32] == b"\xeb\xeb" + b"\xff" * 14 + digest


def test_a_new_board_gets_its_settings(board: FakeBoard) -> None:
    """Each of them, as an independent reader finds them."""
    flashed(
        board,
        *WIFI,
        *("--hub", "hub.example:1884", "--name", "cuisine été", "--interval", "2.5"),
        *("--board", "xiao-esp32c3", "--led", "low", "--button", "high"),
        *("--calibration", "3100:150"),
    )
    assert of(board) == {
        "wifi": "Home network",
        "password": PASSWORD,
        "host": "hub.example",
        "port": 1884,
        "name": "cuisine été",
        "interval": 2500,
        "board": "xiao-esp32c3",
        "led": 0,
        "button": 1,
        "calibration": (3100, 150),
    }


def test_nothing_else_in_the_flash_is_touched(image: bytes, board: FakeBoard) -> None:
    """Beside the image and the sector of the settings."""
    marks = {0xF_0000: b"mark", CONFIG + SECTOR: b"here", 4 * MIB - 4: b"end."}
    for offset, mark in marks.items():
        assert board.flash.program(offset, mark)
    flashed(board, *WIFI)
    content = bytearray(everything(board))
    assert content[: len(image)] == image
    content[: -(-len(image) // SECTOR) * SECTOR] = b""
    content[CONFIG - 4 * MIB : CONFIG - 4 * MIB + SECTOR] = b"\xff" * SECTOR
    for offset, mark in marks.items():
        content[offset - 4 * MIB : (offset + 4 - 4 * MIB) or None] = b"\xff" * len(mark)
        assert board.flash.read(offset, 4) == mark
    assert content == b"\xff" * len(content)


def test_what_was_in_the_flash_before_does_not_matter(image: bytes, board: FakeBoard) -> None:
    """Its zeros become ones again; settings that are none are replaced."""
    assert board.flash.program(0, bytes(len(board.flash)))
    done = flash(board, *WIFI)
    assert done.returncode == 0, done.stderr
    assert board.flash.read(0, len(image)) == image
    assert of(board) == {"wifi": "Home network", "password": PASSWORD}


def test_a_boards_key_is_the_hmac_of_its_mac(tmp_path: Path, board: FakeBoard) -> None:
    """Under the hub's secret; a machine that does not know that leaves the key alone."""
    secret = "a secret of the house that nobody knows"
    flashed(board, *WIFI, *with_secret(tmp_path, secret))
    mac = board.mac.encode()
    key = hmac.new(secret.encode(), mac, "sha256").hexdigest()
    assert of(board)["key"] == key
    flashed(board, "--name", "one", *with_secret(tmp_path, ""))
    assert of(board)["key"] == key


@pytest.mark.parametrize("speed", ["115200", "921600"])
def test_a_board_is_written_at_any_speed_again_and_again(speed: str, board: FakeBoard) -> None:
    """Which the board hears of before it changes."""
    for name in ("first", "second"):
        flashed(board, *WIFI, "--baud", speed, "--name", name)
        assert of(board)["name"] == name
    assert board.heard[Op.CHANGE_BAUDRATE] == (2 if speed == "921600" else 0)


# -- what a board has already ---------------------------------------------------------------------


def test_what_is_not_said_stays_as_the_board_has_it(board: FakeBoard) -> None:
    """Only its name changes; and the image is not written again."""
    options = ["--hub", "192.0.2.7:1884", "--interval", "60", "--led", "low", "--name", "one"]
    flashed(board, *WIFI, *options)
    before, blocks = of(board), board.heard[Op.FLASH_DEFL_DATA]
    flashed(board, "--name", "two", env={})
    assert of(board) == before | {"name": "two"}
    assert board.heard[Op.FLASH_DEFL_DATA] <= blocks + 1, "the settings are one block"


def test_a_board_that_has_all_of_it_is_not_written(board: FakeBoard) -> None:
    """Flash wears."""
    flashed(board, *WIFI)
    before = (board.heard[Op.FLASH_BEGIN], board.heard[Op.FLASH_DEFL_BEGIN])
    said = flashed(board, env={})
    assert "Written" not in said
    after = (board.heard[Op.FLASH_BEGIN], board.heard[Op.FLASH_DEFL_BEGIN])
    # Going back to the ROM's loader is a download of nothing.
    assert after[0] - before[0] <= 1
    assert after[1] == before[1]


def test_settings_can_be_forgotten(board: FakeBoard) -> None:
    """Then there is nothing but what is said."""
    flashed(board, *WIFI, "--name", "one", "--interval", "60")
    flashed(board, "--forget", "--wifi", "Another", "--wifi-open", env={})
    assert of(board) == {"wifi": "Another"}


def test_another_network_never_gets_the_old_ones_password(board: FakeBoard) -> None:
    """It asks; and where nobody can answer, it says what is missing."""
    flashed(board, *WIFI)
    before = everything(board)
    refused(flash(board, "--wifi", "Another", env={}), USAGE, "Another", "--wifi-password-file")
    assert everything(board) == before


# -- dry runs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_board", [True, False])
def test_a_dry_run_makes_the_files_that_a_board_would_get(
    tmp_path: Path, with_board: bool, package: dict[str, Any], board: FakeBoard
) -> None:
    """To the byte, with a board that is asked and without one."""
    output = tmp_path / "its output"
    secret = with_secret(tmp_path, "a secret of the house that nobody knows")
    arguments = [*WIFI, "--name", "one", "--interval", "60", *secret]
    dry = [*arguments, "--dry-run", "--output", output]
    if with_board:
        said = flashed(board, *dry)
    else:
        chip = ["--images", PACKAGE, "--chip", "ESP32-C3", "--mac", board.mac]
        done = capteur("flash", *chip, *dry, env=SECRET)
        assert done.returncode == 0, done.stderr
        assert not board.heard
        said = done.stdout
    assert everything(board) == b"\xff" * len(board.flash), "a dry run writes nothing"
    assert PASSWORD not in said
    files = {file.name: file.read_bytes() for file in output.iterdir()}
    image, settings_file = package["file"], "capteur-esp32c3-config.bin"
    assert set(files) == {image, settings_file}
    for name in files:
        assert f"'{output / name}'" in said, "the command that writes it"
    assert (output / settings_file).stat().st_mode & 0o077 == 0, "it holds the password"

    flashed(board, *arguments)
    assert files[image] == board.flash.read(package["offset"], package["size"])
    assert files[settings_file] == board.flash.read(package["config_offset"], SECTOR)


# -- what can be wrong ----------------------------------------------------------------------------


def test_a_chip_without_an_image_is_refused() -> None:
    """Before anything is written."""
    with FakeBoard("esp32c6") as board:
        refused(flash(board, *WIFI), FAILURE, "esp32c6", "esp32c3")
        assert everything(board) == b"\xff" * len(board.flash)


def test_a_chip_that_nobody_knows_is_not_called_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers well; no button helps."""
    monkeypatch.setitem(CHIPS, "esp32x9", dataclasses.replace(CHIPS["esp32c3"], id=99))
    with FakeBoard("esp32x9") as board:
        done = flash(board, *WIFI)
        refused(done, FAILURE, board.port, "chip ID: 99")
        assert "BOOT" not in done.stderr


def test_another_chip_than_the_one_that_was_named_is_refused(
    tmp_path: Path, package: dict[str, Any]
) -> None:
    """With the board's and with the wanted one, in a package that has both."""
    images = tmp_path / "images"
    shutil.copytree(PACKAGE, images)
    other = package | {"chip": "esp32c6"}
    (images / "manifest.json").write_text(json.dumps({"manifest": 1, "images": [package, other]}))
    with FakeBoard("esp32c6") as board:
        done = flash(board, *WIFI, "--chip", "esp32c3", images=images)
        refused(done, USAGE, "esp32c3", "esp32c6")
        assert everything(board) == b"\xff" * len(board.flash)


def test_a_flash_that_is_too_small_is_refused() -> None:
    """With what it has and what is needed, before anything is written."""
    with FakeBoard(flash_len=2 * MIB) as board:
        refused(flash(board, *WIFI), FAILURE, str(2 * MIB), str(CONFIG + 0x4000))
        assert everything(board) == b"\xff" * len(board.flash)


def damaged(package: dict[str, Any], content: bytearray) -> None:
    """A byte is another."""
    content[package["size"] // 2] ^= 1


def shortened(_package: dict[str, Any], content: bytearray) -> None:
    """Half a file."""
    del content[len(content) // 2 :]


@pytest.mark.parametrize("damage", [damaged, shortened])
def test_an_image_that_is_not_whole_is_refused(
    tmp_path: Path,
    damage: Callable[[dict[str, Any], bytearray], None],
    package: dict[str, Any],
    image: bytes,
    board: FakeBoard,
) -> None:
    """With the file's name; the board is not written."""
    images = tmp_path / "images"
    shutil.copytree(PACKAGE, images)
    content = bytearray(image)
    damage(package, content)
    (images / package["file"]).write_bytes(content)
    refused(flash(board, *WIFI, images=images), FAILURE, package["file"], "manifest")
    assert everything(board) == b"\xff" * len(board.flash)
    done = capteur("firmware", "list", "--images", images)
    assert done.returncode == FAILURE
    assert package["file"] in done.stderr


def test_a_package_that_is_not_there_is_a_usage_error(tmp_path: Path, board: FakeBoard) -> None:
    """With where it was looked for, and what makes one."""
    done = flash(board, *WIFI, images=tmp_path / "none")
    refused(done, USAGE, str(tmp_path / "none"), "scripts/firmware release")
    assert not board.heard, "the board was not even spoken to"


def test_a_port_that_is_not_there_is_a_usage_error(package: dict[str, Any]) -> None:
    """With its name."""
    assert package
    refused(flash(Path("/dev/ttyNOWHERE7"), *WIFI), USAGE, "/dev/ttyNOWHERE7")


def test_a_file_is_no_port(package: dict[str, Any], tmp_path: Path) -> None:
    """It can be opened, and is no serial line."""
    assert package
    (tmp_path / "file").touch()
    refused(flash(tmp_path / "file", *WIFI), FAILURE, str(tmp_path / "file"))


def test_a_port_that_another_program_has_open_is_refused(board: FakeBoard) -> None:
    """A serial monitor, for one."""
    monitor = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(monitor, fcntl.LOCK_EX)
    try:
        refused(flash(board, *WIFI), FAILURE, board.port, "in use")
    finally:
        os.close(monitor)
    assert not board.heard


def test_a_board_that_does_not_answer_is_told_how_to_be_helped(board: FakeBoard) -> None:
    """It runs an application, and is not in download mode."""
    board.fall_silent()
    refused(flash(board, *WIFI), FAILURE, board.port, "BOOT", "RESET")


def test_lines_that_the_port_has_not_can_not_reset_a_board(board: FakeBoard) -> None:
    """A pseudoterminal has no DTR; what helps is said."""
    done = capteur(
        "flash", "--port", board.port, "--images", PACKAGE, "--no-wait", *WIFI, env=SECRET
    )
    refused(done, FAILURE, board.port, "--no-reset")


@pytest.mark.parametrize(
    ("op", "times", "what"),
    [
        (Op.MEM_DATA, 1, "does not answer"),
        (Op.READ_FLASH, 1, "reading the board's settings"),
        (Op.FLASH_DEFL_DATA, 2, "writing the flash"),
        (Op.FLASH_DEFL_END, 1, "writing the flash"),
    ],
)
def test_a_board_that_falls_silent_ends_with_an_error(
    op: Op, times: int, what: str, board: FakeBoard
) -> None:
    """At any moment, and with what was being done; whole again, it can be written."""
    board.after(op, times, board.fall_silent)
    done = flash(board, *WIFI)
    assert board.heard[op] >= times
    refused(done, FAILURE, what)
    board.recover()
    flashed(board, *WIFI)


def test_a_board_that_is_unplugged_ends_with_an_error(board: FakeBoard) -> None:
    """In the middle of the image."""
    board.after(Op.FLASH_DEFL_DATA, 2, board.unplug)
    refused(flash(board, *WIFI), FAILURE, "writing")


def test_a_worn_cell_is_found(board: FakeBoard) -> None:
    """What the flash holds is compared with what it was to hold."""
    board.flash.worn.add(APPLICATION + 0x123)
    refused(flash(board, *WIFI), FAILURE, "writing")


def test_a_board_that_talks_nonsense_ends_with_an_error(board: FakeBoard) -> None:
    """Answers that claim to be longer than they are; nothing is written."""
    board.distort = lambda answer: answer[:2] + struct.pack("<H", 4096) + answer[4:]
    refused(flash(board, *WIFI), FAILURE, board.port)
    assert everything(board) == b"\xff" * len(board.flash)


# -- the board at the hub -------------------------------------------------------------------------


def test_a_board_that_comes_online_is_told_of(hub: Hub, api: Api, board: FakeBoard) -> None:
    """The command waits for it at the hub of this machine."""
    eventually(lambda: api.get("/health").status == 200, "a hub that works")
    arguments = ["--port", board.port, "--no-reset", "--images", PACKAGE, *WIFI]
    arguments += ["--hub", "127.0.0.1", "--config", hub.folder / "config.toml"]
    with subprocess.Popen(
        [BINARY, "flash", *arguments],
        env=os.environ | SECRET,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as waiting:
        assert waiting.stdout is not None
        said = ""
        while "waiting for the board" not in said:
            line = waiting.stdout.readline()
            assert line, said
            said += line
        Device(hub, board.mac).boot()
        said, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, said
    assert f"{api.device(board.mac)['name']} is online" in said
