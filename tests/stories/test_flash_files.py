"""`capteur flash --dry-run` and `capteur firmware list`: all that needs no board."""

import hashlib
import hmac
import json
import os
import pty
import select
import stat
import subprocess
import termios
from pathlib import Path

import pytest

from hub import BINARY, capteur, clean_environment
from package import SECTOR, make_package, settings_in
from waiting import DEADLINE, eventually

MAC, SECRET = "61:EC:ED:3B:25:B1", "a secret of the house"
PASSWORD = {"CAPTEUR_WIFI_PASSWORD": "its long password"}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with a package."""
    make_package(tmp_path / "images")
    return tmp_path / "images"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Where a dry run's files go: it makes the folder."""
    return tmp_path / "made" / "files"


def flash(
    images: Path, *arguments: str | Path, env: dict[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs the command where no settings of this machine matter."""
    where = ["--config", "/dev/null", "--images", images]
    return capteur("flash", *where, *arguments, env=env or {}, input=stdin)


def dry(images: Path, files: Path, *arguments: str | Path, **options: dict[str, str]) -> str:
    """A dry run that has to succeed: what it printed."""
    done = flash(images, "--dry-run", "--output", files, *arguments, **options)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def test_a_dry_run_writes_what_a_board_would_get(images: Path, files: Path) -> None:
    """Image and settings as files, the plan in words, and no secret in it."""
    said = dry(
        images,
        files,
        *("--chip", "ESP32-C3", "--wifi", "my network", "--hub", "192.168.1.5:1884"),
        *("--name", "kitchen", "--interval", "2.5", "--board", "xiao-esp32c3"),
        *("--led", "low", "--button", "high", "--calibration", "3100:150"),
        env=PASSWORD,
    )
    image, config = files / "capteur-esp32c3-1.2.3.bin", files / "capteur-esp32c3-config.bin"
    assert image.read_bytes() == (images / image.name).read_bytes()
    assert len(config.read_bytes()) == SECTOR
    assert settings_in(config.read_bytes()) == {
        "wifi": "my network",
        "password": "its long password",
        "host": "192.168.1.5",
        "port": 1884,
        "name": "kitchen",
        "interval": 2500,
        "board": "xiao-esp32c3",
        "led": 0,
        "button": 1,
        "calibration": (3100, 150),
    }
    # Others on this machine have no business with the password.
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert PASSWORD["CAPTEUR_WIFI_PASSWORD"] not in said
    for part in ("my network", "192.168.1.5, port 1884", "kitchen", "every 2.5 s", "xiao-esp32c3"):
        assert part in said, said
    assert f"espflash write-bin --chip esp32c3 0x0 {image}" in said
    assert f"espflash write-bin --chip esp32c3 0x3d0000 {config}" in said
    assert set(files.iterdir()) == {image, config}


def test_without_a_chip_a_dry_run_is_for_every_image(images: Path, files: Path) -> None:
    """And for those that know the board, where one is named."""
    said = dry(images, files, "--wifi", "my network", "--wifi-open")
    assert "esp32c3: firmware 1.2.3" in said
    assert "esp32c6: firmware 1.2.3" in said
    assert "open: without a password" in said
    assert settings_in((files / "capteur-esp32c6-config.bin").read_bytes()) == {
        "wifi": "my network"
    }
    assert len(list(files.iterdir())) == 4
    said = dry(images, files, *("--wifi", "n", "--wifi-open", "--board", "esp32-c6-devkitc-1"))
    assert "esp32c3" not in said


def test_a_board_gets_the_key_that_the_hub_knows_it_by(images: Path, files: Path) -> None:
    """HMAC-SHA256 of its MAC under `mqtt.device_key`; where the MAC is unknown, that is said."""
    env = PASSWORD | {"CAPTEUR_MQTT__DEVICE_KEY": SECRET, "CAPTEUR_WIFI": "from the environment"}
    said = dry(images, files, "--chip", "esp32c3", "--mac", MAC.lower(), env=env)
    settings = settings_in((files / "capteur-esp32c3-config.bin").read_bytes())
    key = hmac.new(SECRET.encode(), MAC.encode(), hashlib.sha256).hexdigest()
    assert settings["key"] == key
    assert settings["wifi"] == "from the environment"
    assert key not in said
    assert MAC in said
    done = flash(images, "--dry-run", "--output", files, "--chip", "esp32c3", env=env)
    assert done.returncode == 0
    assert "--mac" in done.stderr
    assert "key" not in settings_in((files / "capteur-esp32c3-config.bin").read_bytes())


def test_a_password_comes_from_a_file_or_the_standard_input(
    images: Path, files: Path, tmp_path: Path
) -> None:
    """The line's end is no part of it; what is named last on the way wins."""
    file = tmp_path / "password"
    file.write_text("from the file\n")
    here = ("--chip", "esp32c3", "--wifi", "my network", "--wifi-password-file")
    dry(images, files, *here, file, env=PASSWORD)
    config = files / "capteur-esp32c3-config.bin"
    assert settings_in(config.read_bytes())["password"] == "from the file"
    dry(images, files, *here, "-", stdin="from the pipe\n")
    assert settings_in(config.read_bytes())["password"] == "from the pipe"


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--wifi", "x" * 33], "--wifi"),
        (["--wifi", "my network"], "--wifi-password-file"),
        ([], "--wifi"),
        (["--wifi-password-file", "/no/such/file"], "--wifi-password-file"),
        (["--hub", "::1"], "--hub"),
        (["--name", "a;b"], "--name"),
        (["--interval", "0"], "--interval"),
        (["--led", "on"], "--led"),
        (["--calibration", "1:1"], "--calibration"),
        (["--chip", "esp32"], "--chip"),
        (["--wifi", "n", "--wifi-open", "--board", "unknown"], "--board"),
        (["--wifi", "n", "--wifi-open", "--chip", "esp32c6", "--board", "xiao-esp32c3"], "--board"),
        (["--mac", "61:EC"], "--mac"),
        (["--port", "/dev/no-such-port"], "/dev/no-such-port"),
        (["--images", "/no/such/folder"], "/no/such/folder"),
    ],
)
def test_a_bad_argument_is_refused_by_its_name(
    images: Path, files: Path, arguments: list[str], names: str
) -> None:
    """With status 64, and before anything is written."""
    given = ["--images", str(images)] if "--images" not in arguments else []
    done = capteur(
        *("flash", "--config", "/dev/null", "--dry-run", "--output", files, *given, *arguments),
        input="",
    )
    assert done.returncode == 64, done
    assert names in done.stderr
    assert not files.exists()


def test_a_bad_password_is_refused_and_not_repeated(images: Path, files: Path) -> None:
    """It may be a real one with a letter too few."""
    secret = {"CAPTEUR_WIFI_PASSWORD": "hunter2"}
    done = flash(images, "--dry-run", "--output", files, "--wifi", "my network", env=secret)
    assert done.returncode == 64
    assert "CAPTEUR_WIFI_PASSWORD" in done.stderr
    assert "hunter2" not in done.stderr


def test_what_is_missing_is_asked_for_on_a_terminal(images: Path, files: Path) -> None:
    """The name with an echo, the password without; nonsense is asked for again."""
    command = [BINARY, "flash", "--config", "/dev/null", "--images", images, "--dry-run"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(
            BINARY,
            [*map(str, command), "--chip", "esp32c3", "--output", files],
            clean_environment(),
        )
    said = b""

    def expect(text: bytes) -> None:
        nonlocal said
        while text not in said:
            ready, _, _ = select.select([terminal], [], [], DEADLINE)
            assert ready, said
            said += os.read(terminal, 4096)

    def type_unseen(text: bytes) -> None:
        eventually(lambda: not termios.tcgetattr(terminal)[3] & termios.ECHO, "end of the echo")
        os.write(terminal, text)

    expect(b"Wi-Fi (2.4 GHz): ")
    os.write(terminal, b"my network\n")
    expect(b"Password of my network")
    type_unseen(b"short\n")
    expect(b"8 to 63")
    type_unseen(b"a good password\n")
    expect(b"espflash write-bin")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, said
    assert b"short" not in said
    assert b"a good password" not in said
    settings = settings_in((files / "capteur-esp32c3-config.bin").read_bytes())
    assert settings == {"wifi": "my network", "password": "a good password"}


def test_the_images_are_listed_and_damage_is_told(images: Path) -> None:
    """A table with the kinds of board; status 1 where an image is not whole."""
    where = ("--config", "/dev/null", "--images", images)
    done = capteur("firmware", "list", *where)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()[2:]
    assert first.split()[:3] == ["esp32c3", "1.2.3", "100000"]
    assert first.endswith("yes    esp32-c3-devkitm-1*, xiao-esp32c3")
    assert second.split()[0] == "esp32c6"
    file = images / "capteur-esp32c6-1.2.3.bin"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    done = capteur("firmware", "list", *where)
    assert done.returncode == 1
    assert done.stdout.splitlines()[3].split()[4] == "no"
    assert str(file) in done.stderr
    assert "SHA-256" in done.stderr
    done = flash(images, "--dry-run", "--wifi", "n", "--wifi-open", "--chip", "esp32c6")
    assert done.returncode == 1, "and it is not used"
    manifest = json.loads((images / "manifest.json").read_text())
    manifest["images"][1]["config_offset"] = 17
    (images / "manifest.json").write_text(json.dumps(manifest))
    done = capteur("firmware", "list", *where)
    assert done.returncode == 1
    assert "manifest.json: `images[1].config_offset`" in done.stderr


def test_the_folder_of_the_images_is_a_setting(images: Path) -> None:
    """`[firmware] path`; an option is stronger."""
    env = {"CAPTEUR_FIRMWARE__PATH": str(images)}
    done = capteur("firmware", "list", "--config", "/dev/null", env=env)
    assert done.stdout.splitlines()[0] == str(images)
    done = capteur("firmware", "list", "--config", "/dev/null", "--images", "/no", env=env)
    assert done.returncode == 64
    assert "scripts/firmware release" in done.stderr
