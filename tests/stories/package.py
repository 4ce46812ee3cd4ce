"""A package of images, as `scripts/firmware release` makes one, and the settings in a board."""

import hashlib
import json
import random
import struct
import zlib
from pathlib import Path
from typing import Any

CONFIG_OFFSET, CONFIG_SIZE, SECTOR = 0x3D_0000, 0x4000, 4096

# `firmware/protocol/src/config.rs` has the table.
FIELDS = {
    1: "wifi",
    2: "password",
    3: "host",
    4: "port",
    5: "key",
    6: "name",
    7: "interval",
    8: "board",
    9: "led",
    10: "button",
    11: "calibration",
}


def make_package(folder: Path, size: int = 100_000) -> dict[str, bytes]:
    """Writes a package for two chips: the images, by chip."""
    folder.mkdir(parents=True, exist_ok=True)
    boards = {
        "esp32c3": ["esp32-c3-devkitm-1", "xiao-esp32c3"],
        "esp32c6": ["esp32-c6-devkitc-1"],
    }
    images = {chip: random.Random(chip).randbytes(size // 2) + bytes(size // 2) for chip in boards}
    entries = []
    for chip, image in images.items():
        file = f"capteur-{chip}-1.2.3.bin"
        (folder / file).write_bytes(image)
        entries.append(
            {
                "chip": chip,
                "version": "1.2.3",
                "file": file,
                "offset": 0,
                "size": len(image),
                "sha256": hashlib.sha256(image).hexdigest(),
                "application_size": len(image) - 65536,
                "config_offset": CONFIG_OFFSET,
                "config_size": CONFIG_SIZE,
                "boards": boards[chip],
                "default_board": boards[chip][0],
            }
        )
    (folder / "manifest.json").write_text(json.dumps({"manifest": 1, "images": entries}))
    return images


def settings_in(partition: bytes) -> dict[str, Any]:
    """The settings that a board reads in its partition."""
    magic, version, length, checksum = struct.unpack_from("<4sHHI", partition)
    assert (magic, version) == (b"CPTR", 1)
    fields = partition[12 : 12 + length]
    assert checksum == zlib.crc32(partition[:8] + fields)
    assert partition[12 + length :].strip(b"\xff") == b""
    settings: dict[str, Any] = {}
    while fields:
        tag, size = fields[0], fields[1]
        value, fields = fields[2 : 2 + size], fields[2 + size :]
        name = FIELDS[tag]
        if name in ("port", "interval", "led", "button"):
            settings[name] = int.from_bytes(value, "little")
        elif name == "calibration":
            settings[name] = struct.unpack("<HH", value)
        elif name == "key":
            settings[name] = value.hex()
        else:
            settings[name] = value.decode()
    return settings
