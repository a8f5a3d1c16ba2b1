"""What a candidate costs, measured on this machine: its training before it is begun, its predictions afterwards."""

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from telltale.data.index import Index
from telltale.delivery.predictor import predict_stored
from telltale.model.classifier import Classifier
from telltale.model.zoo import create_backbone, describe_network
from telltale.training.candidates import Candidate as Network
from telltale.training.fitting import open_extractor
from telltale.training.quality import Plan
from telltale.training.recipe import Recipe

_LEARNING: Final = {"scratch": 3.0, "finetune": 6.0}
"""Times as long as a picture's way through the network: learning from it on a processor. A backward pass is twice a
forward pass; a pretrained network was timed in the faster engine (the median of `training.candidates`)."""

_BATCH: Final = 16
_FIXED: Final = {"probe": 1.0, "finetune": 5.0, "scratch": 5.0}
"""Seconds that a training takes however few pictures there are: most for the conversion of what was learned."""

_TIMED: Final = 256
"""Pictures of one timed pass of predictions."""
_PASSES: Final = 4
_ENOUGH: Final = 0.5
"""Seconds of timed passes after which no more are made."""


def estimate_seconds(recipe: Recipe, rate: float, *, pictures: int, device: str) -> float:
    """About how long the training of a resolved recipe takes here with nothing in the cache; `rate` as it was measured.

    A scratch training of 30 epochs with 1,000 pictures costs as much as 67,500 of them through the network, once:

    >>> round(estimate_seconds(Recipe(model="cnn").resolved, 1000.0, pictures=1000, device="cpu"))
    74
    """
    learning = rate / _LEARNING.get(recipe.how, 1.0)
    network = Network(recipe.model, recipe.img_size, 0.0, 0.0, cpu=rate, cpu_training=learning, gpu=rate)
    plan = Plan("", recipe.how, 0 if recipe.how == "probe" else recipe.epochs, recipe.views)
    return _FIXED[recipe.how] + plan.seconds(network, pictures, device)


def name_work(recipe: Recipe) -> tuple[object, ...]:
    """What decides the rate: recipes for which this is equal run the same network on pictures of the same size."""
    network = (recipe.model, recipe.weights, recipe.start_from, recipe.img_size, recipe.pool, recipe.arithmetic)
    return (recipe.how == "scratch", *network)


def measure_rate(recipe: Recipe, device: str) -> float:
    """Pictures per second from pixels to features: the fastest of a few batches, after one to warm up."""
    if recipe.how != "scratch":
        extractor = open_extractor(recipe, device=device)
        engine, size = extractor.engine, extractor.preprocess.size
        squares = list(np.zeros((_BATCH, size, size, 3), np.uint8))
        return _BATCH / _time(lambda: engine.run(squares))
    import torch

    architecture = describe_network(recipe.model, size=recipe.img_size, pool=recipe.pool)
    network = create_backbone(architecture).to(device).eval()
    batch = torch.zeros(_BATCH, 3, architecture.size, architecture.size, device=device)
    with torch.inference_mode():
        return _BATCH / _time(lambda: network(batch).sum().item())


def measure_predictions(classifier: Classifier, part: Index) -> float:
    """Pictures of `part` per second from stored file to answer: read, decode, resize, network, on all cores, warm.

    The fastest of a few passes over at most 256 pictures: whatever else the machine does can only make one slower.
    """
    rows = np.unique(np.linspace(0, len(part) - 1, min(_TIMED, len(part))).astype(np.int64))
    paths = [part.paths[row] for row in rows]

    def answer() -> None:
        for _ in predict_stored(classifier, part.store, paths):
            pass

    return len(paths) / _time(answer)


def _time(work: Callable[[], object]) -> float:
    """Seconds of the fastest pass, after one that does not count."""
    work()
    taken: list[float] = []
    while len(taken) < _PASSES and sum(taken) < _ENOUGH:
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return max(min(taken), 1e-6)
