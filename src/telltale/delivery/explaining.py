"""`HeatmapFolder`: each picture that is predicted, as a JPEG that shows what spoke for its class."""

import hashlib
import io
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from telltale.evaluation.heat_picture import overlay
from telltale.files import make_folder, write_atomic
from telltale.model.classifier import Classifier
from telltale.model.heatmaps import HeatMapper

SIDE: Final = 800
"""Pixels of the longer side at most: of a chunk of 16 large photos 23 MB are kept, instead of 600."""

_LONGEST: Final = 120
"""Bytes of one part of a name: file systems allow 255."""


class HeatmapFolder:
    """An `Onlooker` of `predict` that writes `FOLDER/NAME.jpg` for each picture, at most 800 pixels large.

    NAME is the picture's name in the output, folder by folder, without what leads out of FOLDER. Raises `ModelError` at
    once where the network has no map of places, and `OutputError` where the folder cannot be written.
    """

    def __init__(self, classifier: Classifier, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._mapper = HeatMapper(classifier)
        self._preprocess = classifier.extractor.preprocess
        self._turn = threading.Lock()
        self._taken: dict[str, str] = {}
        make_folder(self.folder)

    def reduce(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture in the size in which it is written."""
        image = Image.fromarray(pixels)
        image.thumbnail((SIDE, SIDE))
        return np.asarray(image)

    def receive(
        self,
        names: Sequence[str],
        pictures: Sequence[NDArray[np.uint8]],
        squares: Sequence[NDArray[np.uint8]],
        classes: Sequence[int],
    ) -> None:
        """Write the heat maps of these pictures for these classes."""
        for name, pixels, heat in zip(names, pictures, self._mapper.draw(squares, classes), strict=True):
            placed = self._preprocess.place_back(heat, *pixels.shape[:2])
            buffer = io.BytesIO()
            Image.fromarray(overlay(pixels, placed)).save(buffer, "JPEG", quality=85)
            path = self.folder / self._choose(name)
            make_folder(path.parent)
            write_atomic(path, buffer.getvalue())

    def _choose(self, name: str) -> str:
        """A place below the folder that no other picture has, the same for the same name."""
        wanted = mirror_name(name)
        with self._turn:
            number, place = 1, wanted
            while self._taken.setdefault(place.casefold(), name) != name:
                number += 1
                place = f"{wanted[:-4]}-{number}.jpg"
        return place


def mirror_name(name: str) -> str:
    """The name of a picture from anywhere as a relative path that ends in `.jpg` and leads nowhere else.

    >>> mirror_name("photos/cat.jpg"), mirror_name("../../etc/cat.png"), mirror_name("https://a.org/cat.jpg?size=9")
    ('photos/cat.jpg', 'etc/cat.png.jpg', 'https_/a.org/cat.jpg_size=9.jpg')
    """
    parts = [_clean(part) for part in re.split(r"[/\\]+", name)]
    parts = [part for part in parts if part.strip(". ")] or ["picture"]
    last = parts[-1] if parts[-1].lower().endswith(".jpg") else f"{parts[-1]}.jpg"
    return "/".join([*parts[:-1], f"{last[:-4]}.jpg"])


def _clean(part: str) -> str:
    """One folder or file name without what some file system refuses, and not too long."""
    clean = "".join(letter if letter.isprintable() and letter not in '<>:"|?*' else "_" for letter in part)
    if len(clean.encode("utf-8", "replace")) <= _LONGEST:
        return clean
    mark = hashlib.sha256(part.encode("utf-8", "replace")).hexdigest()[:8]
    start = clean.encode("utf-8", "replace")[: _LONGEST - 20].decode("utf-8", "ignore")
    return f"{start}-{mark}{Path(clean).suffix[:8]}"
