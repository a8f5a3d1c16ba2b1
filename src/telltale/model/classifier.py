"""`Classifier`: a network, its class names, its preprocessing and what it refuses to answer, as one value."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telltale.data.manifest import Manifest
from telltale.model.familiarity import Familiarity
from telltale.model.features import Extractor
from telltale.model.head import Floats, Head
from telltale.model.rejection import ACCEPTED, RejectRule, judge, prediction_sets


@dataclass(frozen=True)
class Classifier:
    """What turns a picture into probabilities of named classes.

    `extractor` gives features, `head` gives class probabilities from them; `classes` are in the order of the head's
    rows. `facts` are plain values about where it comes from (data, recipe, versions). `manifest` tells which pictures
    it has learned from, `familiarity` how unlike those a picture is, and `rule` which answers are accepted, where that
    is known.
    """

    extractor: Extractor
    head: Head
    classes: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    manifest: Manifest | None = None
    familiarity: Familiarity | None = None
    rule: RejectRule | None = None

    def __str__(self) -> str:
        backbone = self.extractor.backbone
        size = self.extractor.preprocess.size
        names = ", ".join(self.classes[:6]) + (f" and {len(self.classes) - 6} more" if len(self.classes) > 6 else "")
        return f"{backbone.architecture.name} at {size} x {size}, {len(self.classes)} classes: {names}"


@dataclass(frozen=True)
class Answers:
    """What a classifier says of `n` pictures."""

    probabilities: Floats
    """float32 `[n, classes]`, calibrated; rows sum to 1."""
    strangeness: Floats
    """float32 `[n]`: how unlike the pictures that were learned from; 0 where that is not known."""
    verdicts: NDArray[np.int8]
    """int8 `[n]`: `ACCEPTED`, `UNSURE` or `UNLIKE` (`telltale.model.rejection`)."""
    sets: NDArray[np.bool_]
    """bool `[n, classes]`: the classes that go with each answer; without a rule the most probable one."""


def answer(classifier: Classifier, features: Floats) -> Answers:
    """What `classifier` says of pictures with these features, float32 `[n, dimension]`: the same everywhere."""
    probabilities = classifier.head.probabilities(features)
    count = len(features)
    strangeness = np.zeros(count, np.float32)
    if classifier.familiarity is not None:
        strangeness = classifier.familiarity.score(features)
    if classifier.rule is None:
        sets = np.zeros(probabilities.shape, np.bool_)
        sets[np.arange(count), probabilities.argmax(axis=1)] = True
        return Answers(probabilities, strangeness, np.full(count, ACCEPTED, np.int8), sets)
    verdicts = judge(classifier.rule, probabilities, strangeness)
    return Answers(probabilities, strangeness, verdicts, prediction_sets(classifier.rule, probabilities))


def classify(classifier: Classifier, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Probabilities float32 `[n, classes]` of decoded pictures, uint8 `[height, width, 3]` each of any size."""
    extractor = classifier.extractor
    if not pictures:
        return np.zeros((0, len(classifier.classes)), np.float32)
    squares = [extractor.preprocess.apply(picture) for picture in pictures]
    return classifier.head.probabilities(extractor.engine.run(squares))
