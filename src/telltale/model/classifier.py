"""`Classifier`: a network, its class names and its preprocessing, as one value."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telltale.data.manifest import Manifest
from telltale.model.features import Extractor
from telltale.model.head import Head


@dataclass(frozen=True)
class Classifier:
    """What turns a picture into probabilities of named classes.

    `extractor` gives features, `head` gives class probabilities from them; `classes` are in the order of the head's
    rows. `facts` are plain values about where it comes from (data, recipe, versions). `manifest` tells which pictures
    it has learned from, where that is known.
    """

    extractor: Extractor
    head: Head
    classes: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    manifest: Manifest | None = None

    def __str__(self) -> str:
        backbone = self.extractor.backbone
        size = self.extractor.preprocess.size
        names = ", ".join(self.classes[:6]) + (f" and {len(self.classes) - 6} more" if len(self.classes) > 6 else "")
        return f"{backbone.architecture.name} at {size} x {size}, {len(self.classes)} classes: {names}"


def classify(classifier: Classifier, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Probabilities float32 `[n, classes]` of decoded pictures, uint8 `[height, width, 3]` each of any size."""
    extractor = classifier.extractor
    if not pictures:
        return np.zeros((0, len(classifier.classes)), np.float32)
    squares = [extractor.preprocess.apply(picture) for picture in pictures]
    return classifier.head.probabilities(extractor.engine.run(squares))
