"""What W&B's own files hold of a run that was written offline.

W&B writes in pieces, up to 15 seconds apart, so after a kill only the file knows which epochs arrived in it.
"""

import contextlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

HEADER: Final = b":W&B"
_HEADER_BYTES: Final = 7
_BLOCK: Final = 32768
_WHOLE, _LAST = 1, 4


def read_epochs(folder: Path, run: str) -> set[int]:
    """The epochs that are in the offline files of a run, below the folder `wandb` where they lie."""
    return {
        epoch
        for path in folder.glob(f"offline-run-*-{run}*/run-{run}.wandb")
        for message in read_messages(path)
        for epoch in _epochs(message)
    }


def read_messages(path: Path) -> Iterator[bytes]:
    """The messages in a file, up to the first that is torn: LevelDB's log format, after a header.

    A message lies in one or more pieces, each with 4 bytes of checksum, 2 of length and 1 that says which piece it is;
    none crosses the end of a block of 32 KB.
    """
    data, parts, place = path.read_bytes(), list[bytes](), _HEADER_BYTES
    while data.startswith(HEADER) and place + 7 <= len(data):
        if _BLOCK - place % _BLOCK < 7:
            place += _BLOCK - place % _BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        place += 7 + length
        if not kind or place > len(data):
            return
        parts.append(data[place - length : place])
        if kind in (_WHOLE, _LAST):
            yield b"".join(parts)
            parts.clear()


def _epochs(message: bytes) -> Iterator[int]:
    """The epoch that a message logs, if it does."""
    from wandb.proto import wandb_internal_pb2

    kinds: Any = wandb_internal_pb2  # made when it is imported, so type checkers do not see what is in it
    # A damaged one logs nothing, whichever way it is damaged.
    with contextlib.suppress(Exception):
        for item in kinds.Record.FromString(message).history.item:
            if item.key == "epoch" or list(item.nested_key) == ["epoch"]:
                yield int(json.loads(item.value_json))
