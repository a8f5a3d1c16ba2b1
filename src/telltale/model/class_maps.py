"""`ClassMaps`: what each place of a picture speaks for, from a converted network and without torch.

Most networks end with the mean (or the maximum) of each channel over all places. With a linear head behind it, the
head's row of a class also says what each place speaks for: the class activation map (Zhou et al. 2016, "Learning Deep
Features for Discriminative Localization"). Selvaraju et al. 2017 ("Grad-CAM", section 3.1) show that Grad-CAM of the
last map is the same up to a factor, so no gradients are needed.
"""

import threading
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telltale.device import cores
from telltale.model.backbone import Backbone
from telltale.model.engine import FIRST_USE, Squares
from telltale.model.head import Floats
from telltale.model.question import Question
from telltale.threads import pieces

TOLERANCE: Final = 1e-3
"""Largest difference between the pooled map and the features, as a share of the features' standard deviation."""

_POOLS: Final = {
    "ReduceMean": "mean",
    "AdaptiveAvgPool": "mean",
    "AvgPool": "mean",
    "ReduceMax": "max",
    "AdaptiveMaxPool": "max",
    "MaxPool": "max",
}
_TRANSPARENT: Final = frozenset({"Result", "Reshape", "Squeeze", "Unsqueeze", "Convert"})
"""Steps that change the shape of what goes through them, not its values."""


class ClassMaps:
    """A converted network with the map that its features are pooled from; safe from several threads."""

    def __init__(self, model: Any, pool: str) -> None:
        self._model = model
        self.pool = pool
        """`mean` or `max`: how features come from the map."""
        self.batch = int(model.input(0).shape[0])
        self._mine = threading.local()

    def run(self, squares: Squares) -> tuple[Floats, Floats]:
        """Features float32 `[n, d]` and their map `[n, d, height, width]` of at most `batch` uint8 squares.

        Both are views that the next call from this thread overwrites.
        """
        if not hasattr(self._mine, "request"):
            self._mine.request = self._model.create_infer_request()
        request = self._mine.request
        inputs = request.get_input_tensor().data
        for place, square in enumerate(squares):
            inputs[place] = square
        request.infer()
        features, maps = (request.get_output_tensor(number).data[: len(squares)] for number in range(2))
        return features, maps

    def evidence(self, squares: Squares, question: Question) -> Floats:
        """What each place speaks for, float32 `[n, height, width]`: but for the bias, a map's mean is the margin.

        With `max` as pool only the best place of each channel counts for the features; Grad-CAM spreads its weight over
        all, and so does this.
        """
        found = []
        for part in pieces(len(squares), self.batch):
            features, maps = self.run(squares[part.start : part.stop])
            found.append(np.einsum("nd,ndhw->nhw", question.weigh(features, part.start), maps))
        return np.concatenate(found)


def open_class_maps(backbone: Backbone) -> ClassMaps | None:
    """The converted `backbone` with its last map; None where it was not converted or its features are not pooled ones.

    None too where the map is a single place. Layers behind the pool, such as a dense layer or MobileNetV3's last
    convolution, make other features of it; so whether pooling the map gives the features is tried on random pictures.
    """
    if not backbone.converted:
        return None
    import openvino

    core = openvino.Core()
    model = core.read_model(backbone.folder / "network.xml")
    node = model.output(0).get_node()
    while node.get_type_name() in _TRANSPARENT:
        node = node.input_value(0).get_node()
    pool = _POOLS.get(node.get_type_name(), "")
    shape = tuple(node.input_value(0).get_partial_shape().to_shape()) if pool else ()
    if len(shape) != 4 or shape[1] != backbone.dimension or shape[2] * shape[3] == 1:
        return None
    model.add_outputs([node.input_value(0)])
    # Not bf16: a heat map is the small difference of large sums.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": cores(), "INFERENCE_NUM_THREADS": cores()}
    maps = ClassMaps(core.compile_model(model, "CPU", settings), pool)
    return maps if _agrees(maps, backbone.architecture.size) else None


def _agrees(maps: ClassMaps, size: int) -> bool:
    """Does pooling the map give the features?"""
    pictures: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (maps.batch, size, size, 3), np.uint8)
    with FIRST_USE:
        features, places = maps.run(pictures)
    pooled = places.mean(axis=(2, 3)) if maps.pool == "mean" else places.max(axis=(2, 3))
    return bool(np.abs(pooled - features).max() <= TOLERANCE * features.std() + 1e-6)
