"""`HeatmapFolder`: each picture that is predicted, as a JPEG that shows what spoke for its class."""

import hashlib
import io
import os
import re
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

_SEPARATOR: Final = r"[/\\]" if os.sep == "\\" else "/"
_REFUSED: Final = '<>:"|?*\\'
"""What Windows does not take in a name."""

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
            path = self.folder / mirror_name(name)
            make_folder(path.parent)
            write_atomic(path, buffer.getvalue())


def mirror_name(name: str) -> str:
    """The name of a picture from anywhere as a relative path that ends in `.jpg` and leads nowhere else.

    Different names give different paths without a list of those before: what would be lost is in a short hash.

    >>> mirror_name("photos/cat.jpg"), mirror_name("../cat.png"), mirror_name("https://a.org/cat.jpg")
    ('photos/cat.jpg', '__/cat.png.jpg', 'https_-08cf2045/a.org/cat.jpg')
    """
    parts = ["__" if part == ".." else _clean(part) for part in re.split(_SEPARATOR, name) if part not in ("", ".")]
    *folders, last = parts or ["picture"]
    stem, suffix = Path(last).stem, Path(last).suffix
    if not suffix:  # else it would be taken for a picture of this name with .jpg
        last = f"{last}-{_mark(name)}"
    kept = suffix.lower() == ".jpg" and not Path(stem).suffix
    return "/".join([*folders, last if kept else f"{last}.jpg"])


def _clean(part: str) -> str:
    """One folder or file name without what some file system refuses, and not too long."""
    clean = "".join(letter if letter.isprintable() and letter not in _REFUSED else "_" for letter in part)
    clean = clean.encode("utf-8", "replace")[:_LONGEST].decode("utf-8", "ignore").rstrip(". ")
    if clean == part:
        return clean
    suffix = Path(clean).suffix if re.fullmatch(r"\.\w{1,5}", Path(clean).suffix) else ""
    return f"{clean.removesuffix(suffix)}-{_mark(part)}{suffix}"


def _mark(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
