"""What the tests of batches need: pictures that count how often they are read, and a cache of their own."""

import io
import threading
from functools import cached_property

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from telltale.files import sha256


class Shelf:
    """Small pictures of noise in memory, of three classes in turn, as an `Index` gives them; counts what is read."""

    def __init__(self, count: int, *, label: int = 0, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.paths = [f"{number}.png" for number in range(count)]
        self.codes = (np.arange(count) % 3).astype(np.int32) + label
        self.store = self
        self.files, self.reads, self.lock = {}, 0, threading.Lock()
        for path in self.paths:
            self.files[path] = encode(rng.integers(0, 256, (10, 12, 3), np.uint8))

    @cached_property
    def table(self) -> pa.Table:
        """The column of an index that tells pictures by their content, as it was when first asked for."""
        return pa.table({"digest": pa.array([sha256(self.files[path]) for path in self.paths], pa.binary(32))})

    def read(self, path: str) -> bytes:
        with self.lock:
            self.reads += 1
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]


def encode(pixels: np.ndarray) -> bytes:
    """A PNG with these pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def shelf() -> type[Shelf]:
    """`Shelf`, to make some."""
    return Shelf


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """The squares of one test are not those of another."""
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def kinds(tmp_path):
    """A folder with one picture of each kind that decoders treat in a way of its own, in two classes."""
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 256, (6, 8, 3)), np.ones((9, 9, 1))).astype(np.uint8)
    colour, grey = Image.fromarray(smooth), Image.fromarray(smooth[:, :, 0])
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = colour.copy()
    alpha.putalpha(Image.fromarray(rng.integers(0, 256, smooth.shape[:2], np.uint8)))
    for label in ("a", "b"):
        (tmp_path / "kinds" / label).mkdir(parents=True)
    folder = tmp_path / "kinds" / "a"
    colour.save(folder / "colour.jpg", quality=90)
    colour.save(folder / "rotated.jpg", quality=90, exif=exif)
    grey.save(folder / "grey.jpg")
    colour.convert("CMYK").save(folder / "cmyk.jpg")
    folder = tmp_path / "kinds" / "b"
    colour.save(folder / "colour.png")
    alpha.save(folder / "alpha.png")
    colour.quantize(16).save(folder / "palette.png")
    Image.fromarray(rng.integers(0, 65536, (40, 30), np.uint16)).save(folder / "deep.png")
    return tmp_path / "kinds"
