"""The board that the stories of `capteur flash` are told with, against Espressif's own esptool.

It has to be what esptool takes for a chip, and to refuse what a chip refuses: else it would come
to be whatever our program happens to need.
"""

import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from esptool.cmds import detect_chip
from esptool.loader import ESPLoader
from esptool.util import FatalError

from fake_board import MIB, FakeBoard
from fake_chip import CHIPS
from loader import Op
from nor_flash import SECTOR

LOADERS = {"rom": ["--no-stub"], "stub": []}


def esptool(board: FakeBoard, *arguments: str | Path) -> str:
    """Runs the program to its end, which has to be a good one: what it said."""
    done = run(board, *arguments)
    assert done.returncode == 0, done.stdout
    assert not board.refused
    return done.stdout


def run(board: FakeBoard, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs the program to its end."""
    stays = ["--before", "no-reset", "--after", "no-reset"]
    return subprocess.run(
        [sys.executable, "-m", "esptool", "--port", board.port, *stays, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )


def content(size: int, seed: int = 1) -> bytes:
    """Half of it can't be compressed."""
    return random.Random(seed).randbytes(size // 2) + b"\xa5" * (size - size // 2)


@pytest.mark.parametrize("chip", CHIPS)
def test_esptool_knows_the_chip_its_mac_and_its_flash(chip: str) -> None:
    """From the ROM's answers, the eFuses and the flash's JEDEC id."""
    with FakeBoard(chip, flash_len=2 * MIB, mac="02:00:5e:c0:db:01") as board:
        said = esptool(board, "flash-id")
    name = chip.upper().replace("ESP32", "ESP32-")
    revision = {"esp32c3": "v0.4", "esp32c6": "v0.1", "esp32c2": "v1.2", "esp32c5": "v1.0"}[chip]
    for fact in (
        f"Connected to {name} ",
        f"(revision {revision})",
        f"Crystal frequency:  {CHIPS[chip].crystal}MHz",
        "02:00:5e:c0:db:01",
        "Detected flash size: 2MB",
    ):
        assert fact in said


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("speed", [115_200, 921_600])
def test_what_esptool_writes_it_reads_and_verifies(tmp_path: Path, loader: str, speed: int) -> None:
    """Over what was there before, and with nothing around it touched."""
    first, second = content(70_000), content(2 * SECTOR, seed=2)
    (tmp_path / "first").write_bytes(first)
    (tmp_path / "second").write_bytes(second)
    with FakeBoard() as board:

        def does(*arguments: str | Path) -> None:
            esptool(board, *LOADERS[loader], "--baud", str(speed), *arguments)
            board.press_reset()  # to the speed that esptool starts with

        assert board.flash.program(0x1_0000, bytes(len(first)))
        does("write-flash", "--compress", "0x10000", tmp_path / "first")
        does("write-flash", "--no-compress", "0x3000", tmp_path / "second")
        assert board.flash.read(0x1_0000, len(first)) == first
        assert board.flash.read(0x3000, len(second)) == second
        assert board.flash.read(0x2000, SECTOR) == b"\xff" * SECTOR
        does("verify-flash", "0x10000", tmp_path / "first")
        does("read-flash", "0xffc", "16384", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == board.flash.read(0xFFC, 16384)


def test_esptool_finds_the_stub_of_its_last_run(tmp_path: Path) -> None:
    """Nothing stops it but a reset."""
    (tmp_path / "file").write_bytes(content(SECTOR))
    with FakeBoard() as board:
        esptool(board, "write-flash", "0x10000", tmp_path / "file")
        assert "already running" in esptool(board, "verify-flash", "0x10000", tmp_path / "file")
        board.press_reset()
        assert "Uploading" in esptool(board, "verify-flash", "0x10000", tmp_path / "file")


def test_esptool_sees_that_a_cell_is_worn(tmp_path: Path) -> None:
    """The stub writes without looking; the digest tells."""
    (tmp_path / "file").write_bytes(b"\xff" * SECTOR)
    with FakeBoard() as board:
        board.flash.worn.add(0x1_0123)
        done = run(board, "write-flash", "0x10000", tmp_path / "file")
    assert done.returncode != 0
    assert "MD5" in done.stdout


@pytest.mark.parametrize("fault", [FakeBoard.fall_silent, FakeBoard.unplug])
def test_esptool_gives_up_on_a_board_that_is_gone(
    tmp_path: Path, fault: Callable[[FakeBoard], None]
) -> None:
    """In the middle of a file."""
    (tmp_path / "file").write_bytes(content(100_000))
    with FakeBoard() as board:
        board.after(Op.FLASH_DEFL_DATA, 2, lambda: fault(board))
        done = run(board, "write-flash", "0x10000", tmp_path / "file")
        assert done.returncode != 0
        assert board.heard[Op.FLASH_DEFL_DATA] >= 2


@pytest.fixture
def board() -> Iterator[FakeBoard]:
    """A board whose flash has zeros in the sector at 0x2000."""
    with FakeBoard() as board:
        assert board.flash.program(0x2000, bytes(SECTOR))
        yield board


@pytest.fixture
def rom(board: FakeBoard) -> Iterator[ESPLoader]:
    """esptool's end of a line to the board's ROM."""
    with detect_chip(board.port, connect_mode="no-reset") as chip:
        chip.flash_spi_attach(0)
        yield chip


@pytest.fixture
def stub(rom: ESPLoader) -> ESPLoader:
    """esptool's end of a line to the stub."""
    return rom.run_stub()


def send(chip: ESPLoader, op: int, data: bytes, checksum: int | None = None) -> None:
    """A command by hand; fails where it is refused."""
    if checksum is None:
        checksum = ESPLoader.checksum(data[16:])
    chip.check_command("do it", op, data, checksum)


def words(*numbers: int) -> bytes:
    """Parameters."""
    return struct.pack(f"<{len(numbers)}I", *numbers)


def block(data: bytes, sequence: int = 0) -> bytes:
    """The parameters of a data packet."""
    return words(len(data), sequence, 0, 0) + data


BAD_BOTH = {
    "an unknown command": [(0x77, b"")],
    "a register that is none": [(Op.READ_REG, words(0x6000_0002))],
    "too few parameters": [(Op.SPI_FLASH_MD5, words(0, 4096))],
    "a digest beyond the end": [(Op.SPI_FLASH_MD5, words(4 * MIB - 4, 8, 0, 0))],
    "data that nobody announced": [(Op.FLASH_DATA, block(bytes(1024)))],
    "compressed data that nobody announced": [(Op.FLASH_DEFL_DATA, block(zlib.compress(b"data")))],
    "an end of nothing": [(Op.FLASH_END, words(1))],
    "a start beyond the end": [(Op.FLASH_BEGIN, words(SECTOR, 4, 1024, 4 * MIB, 0))],
    "an end beyond the end": [(Op.FLASH_BEGIN, words(2 * SECTOR, 8, 1024, 4 * MIB - SECTOR, 0))],
    "a beginning beyond what was said to be the size": [
        (Op.SPI_SET_PARAMS, words(0, 2 * MIB, 65536, SECTOR, 256, 0xFFFF)),
        (Op.FLASH_BEGIN, words(SECTOR, 4, 1024, 2 * MIB, 0)),
    ],
    "a packet that is longer than announced": [
        (Op.FLASH_BEGIN, words(SECTOR, 4, 1024, 0, 0)),
        (Op.FLASH_DATA, block(bytes(1028))),
    ],
    "a packet that is not what it says": [
        (Op.FLASH_BEGIN, words(SECTOR, 4, 1024, 0, 0)),
        (Op.FLASH_DATA, words(1024, 0, 0, 0) + bytes(1020)),
    ],
    "a packet that was left out": [
        (Op.FLASH_BEGIN, words(SECTOR, 4, 1024, 0, 0)),
        (Op.FLASH_DATA, block(bytes(1024), sequence=1)),
    ],
    "one packet too many": [
        (Op.FLASH_BEGIN, words(SECTOR, 1, 1024, 0, 0)),
        (Op.FLASH_DATA, block(bytes(1024))),
        (Op.FLASH_DATA, block(bytes(1024), sequence=1)),
    ],
    "compressed data where it was to be plain": [
        (Op.FLASH_BEGIN, words(SECTOR, 4, 1024, 0, 0)),
        (Op.FLASH_DEFL_DATA, block(zlib.compress(bytes(SECTOR)))),
    ],
}

BAD_ROM = {
    "a flash that is not attached": [
        (Op.SPI_ATTACH, words(1, 0)),
        (Op.SPI_FLASH_MD5, words(0, 4, 0, 0)),
    ],
    "an offset within a sector": [(Op.FLASH_BEGIN, words(SECTOR, 4, 1024, 0x1400, 0))],
    "data beyond what it erased": [
        (Op.FLASH_BEGIN, words(SECTOR, 2, SECTOR, 0x1000, 0)),
        (Op.FLASH_DATA, block(b"\x11" * SECTOR)),
        (Op.FLASH_DATA, block(b"\x11" * SECTOR, sequence=1)),
    ],
    "damaged compressed data": [
        (Op.FLASH_DEFL_BEGIN, words(SECTOR, 1, 1024, 0, 0)),
        (Op.FLASH_DEFL_DATA, block(b"nonsense")),
    ],
    "a command that the stub alone has": [(Op.ERASE_REGION, words(0, SECTOR))],
    "code that is longer than announced": [
        (Op.MEM_BEGIN, words(8, 2, 8, 0x4038_0000)),
        (Op.MEM_DATA, block(bytes(8))),
        (Op.MEM_DATA, block(bytes(8), sequence=1)),
    ],
    "a start of code that was not announced": [(Op.MEM_END, words(0, 0x4038_0000))],
}

BAD_STUB = {
    "an end before its data": [
        (Op.FLASH_BEGIN, words(SECTOR, 4, 1024, 0, 0)),
        (Op.FLASH_END, words(1)),
    ],
    "erasing less than a sector": [(Op.ERASE_REGION, words(0, 1024))],
    "a command that the ROM alone has": [(Op.READ_FLASH_SLOW, words(0, 64))],
    # What is written after the answer is refused with the next one.
    "an offset within a word": [
        (Op.FLASH_BEGIN, words(1024, 1, 1024, 2, 0)),
        (Op.FLASH_DATA, block(bytes(1024))),
        (Op.SYNC, b"\x07\x07\x12\x20" + 32 * b"\x55"),
    ],
    "compressed data that ends within a word": [
        (Op.FLASH_DEFL_BEGIN, words(1023, 1, 1024, 0)),
        (Op.FLASH_DEFL_DATA, block(zlib.compress(bytes(1023)))),
        (Op.FLASH_DEFL_END, words(1)),
    ],
    "more compressed data than announced": [
        (Op.FLASH_DEFL_BEGIN, words(1024, 1, 1024, 0)),
        (Op.FLASH_DEFL_DATA, block(zlib.compress(bytes(1028)))),
        (Op.FLASH_DEFL_END, words(1)),
    ],
    "damaged compressed data": [
        (Op.FLASH_DEFL_BEGIN, words(SECTOR, 1, 1024, 0)),
        (Op.FLASH_DEFL_DATA, block(b"nonsense")),
        (Op.FLASH_DEFL_END, words(1)),
    ],
}


def refuses(board: FakeBoard, chip: ESPLoader, commands: list[tuple[int, bytes]]) -> None:
    """All of them are obeyed but for the last."""
    *good, (op, data) = commands
    for number, parameters in good:
        send(chip, number, parameters)
    assert not board.refused
    with pytest.raises(FatalError):
        send(chip, op, data)
    assert len(board.refused) == 1


@pytest.mark.parametrize("what", BAD_BOTH | BAD_ROM)
def test_the_rom_refuses(what: str, board: FakeBoard, rom: ESPLoader) -> None:
    """What the ROM of a chip would."""
    refuses(board, rom, (BAD_BOTH | BAD_ROM)[what])


@pytest.mark.parametrize("what", BAD_BOTH | BAD_STUB)
def test_the_stub_refuses(what: str, board: FakeBoard, stub: ESPLoader) -> None:
    """What the stub would."""
    refuses(board, stub, (BAD_BOTH | BAD_STUB)[what])


@pytest.mark.parametrize("loader", LOADERS)
def test_a_wrong_checksum_is_refused(
    loader: str, board: FakeBoard, request: pytest.FixtureRequest
) -> None:
    """And the flash stays as it was; the same packet is fine then with the right one."""
    chip = request.getfixturevalue(loader)
    send(chip, Op.FLASH_BEGIN, words(SECTOR, 1, SECTOR, 0x1000, 0))
    data = content(SECTOR)
    with pytest.raises(FatalError):
        send(chip, Op.FLASH_DATA, block(data), checksum=ESPLoader.checksum(data) ^ 1)
    assert board.flash.read(0x1000, SECTOR) == b"\xff" * SECTOR
    send(chip, Op.FLASH_DATA, block(data))
    send(chip, Op.SYNC, b"\x07\x07\x12\x20" + 32 * b"\x55")
    assert board.flash.read(0x1000, SECTOR) == data


def test_the_stub_erases_whole_sectors(board: FakeBoard, stub: ESPLoader) -> None:
    """Whoever writes within a sector loses what else is in it."""
    send(stub, Op.FLASH_BEGIN, words(1024, 1, 1024, 0x2400, 0))
    send(stub, Op.FLASH_DATA, block(bytes(1024)))
    send(stub, Op.FLASH_END, words(1))
    assert board.flash.read(0x2400, 1024) == bytes(1024)
    assert board.flash.read(0x2000, 1024) == b"\xff" * 1024


def test_a_board_at_another_speed_understands_nothing(board: FakeBoard, rom: ESPLoader) -> None:
    """The host's end of the line has to change with the board's."""
    send(rom, Op.CHANGE_BAUDRATE, words(460_800, 0))
    with pytest.raises(FatalError):
        rom.read_reg(0x6000_0000)
    rom._set_port_baudrate(460_800)
    rom.flush_input()
    rom.read_reg(0x6000_0000)
    assert not board.refused
