"""W&B's files are read as far as they are whole, whatever lies there; test_wandb.py reads real ones."""

import struct

import pytest

from telltale.training.trackers.offline import read_epochs, read_messages

HEADER = b":W&B\xe1\xbe\x00"


def piece(kind, content):
    return struct.pack("<IHB", 0, len(content), kind) + content


@pytest.mark.parametrize(
    ("data", "messages"),
    [
        (b"", []),
        (HEADER, []),
        (b"another", []),
        (b"another" + piece(1, b"abc"), []),
        (HEADER + piece(1, b"abc"), [b"abc"]),
        (HEADER + piece(2, b"ab") + piece(3, b"cd") + piece(4, b"ef") + piece(1, b"g"), [b"abcdef", b"g"]),
        (HEADER + piece(1, b"abc") + piece(1, b"defg")[:-1], [b"abc"]),
        (HEADER + piece(1, b"abc") + bytes(100), [b"abc"]),
        (HEADER + piece(1, bytes(32750)) + bytes(4) + piece(1, b"next block"), [bytes(32750), b"next block"]),
    ],
    ids=["empty", "no message", "foreign", "foreign piece", "one", "pieces", "torn", "zeros", "blocks"],
)
def test_messages_are_read_up_to_the_first_that_is_torn(tmp_path, data, messages):
    (tmp_path / "x.wandb").write_bytes(data)
    assert list(read_messages(tmp_path / "x.wandb")) == messages


def test_what_is_no_message_logs_nothing(tmp_path):
    folder = tmp_path / "offline-run-20261126_120000-0a1b2c3d"
    folder.mkdir()
    (folder / "run-0a1b2c3d.wandb").write_bytes(HEADER + piece(1, b"\xff\xff\xff") + piece(1, b""))
    assert read_epochs(tmp_path, "0a1b2c3d") == set()
    assert read_epochs(tmp_path / "nowhere", "0a1b2c3d") == set()
