"""`draw_heatmaps`: which places of a picture speak for the class that was named (Grad-CAM).

The fast way needs no torch (`telltale.model.class_maps`); networks with layers behind their pool, and transformers,
take gradients in torch (`telltale.model.gradients`).
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from telltale.model.class_maps import open_class_maps
from telltale.model.classifier import Classifier
from telltale.model.engine import Squares
from telltale.model.head import Floats
from telltale.model.question import Question


class _Source(Protocol):
    def evidence(self, squares: Squares, question: Question) -> Floats:
        """float32 `[n, height, width]`, above 0 where a place speaks for the class."""


class HeatMapper:
    """A classifier that is ready to draw heat maps; safe from several threads.

    Opening one takes 0.2 s where the network was converted and its features are pooled ones, else about 3 s for torch.
    Raises `ModelError` where its network has no map of places.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        extractor = classifier.extractor
        # On a GPU torch is loaded anyway, and faster.
        source: _Source | None = open_class_maps(extractor.backbone) if extractor.device == "cpu" else None
        if source is None:
            from telltale.model.gradients import GradientMaps

            source = GradientMaps(extractor.backbone, extractor.device)
        self._source = source

    def draw(self, squares: Squares, classes: Sequence[int] | None = None) -> list[Floats]:
        """As `draw_heatmaps`, of uint8 `[size, size, 3]` squares as `Preprocess.apply` makes them."""
        if not len(squares):
            return []
        return [_normalise(one) for one in self._source.evidence(squares, Question(self.classifier.head, classes))]


def draw_heatmaps(
    classifier: Classifier, pictures: Sequence[NDArray[np.uint8]], classes: Sequence[int] | None = None
) -> list[Floats]:
    """Of each picture a float32 map `[height, width]` from 0 to 1: what speaks for its class, and where.

    `pictures` are uint8 `[height, width, 3]` of any size; `classes` are numbers of classes, by default the predicted
    ones. The maps are as coarse as the last map of features in the network, often 7 x 7, and cover the square that the
    network sees: `Preprocess.place_back` lays them over the picture. 1 is the place that says most for the class, and 0
    the one that says least, or one that speaks against it: a picture's places are compared with one another, not with
    those of other pictures. Raises `ModelError` where the network has no map of places. What is weighed, and the
    papers: `telltale.model.question`, `class_maps` and `gradients`.
    """
    mapper = HeatMapper(classifier)
    return mapper.draw([classifier.extractor.preprocess.apply(picture) for picture in pictures], classes)


def _normalise(evidence: Floats) -> Floats:
    """To 0 .. 1. What speaks against is 0, unless everything does: then what speaks least against is shown."""
    least, most = float(evidence.min()), float(evidence.max())
    floor = max(least, 0.0) if most > 0 else least
    return np.asarray(np.maximum(evidence - floor, 0) / max(most - floor, 1e-12), np.float32)
