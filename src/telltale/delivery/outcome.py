"""`train_once`: splits to a classifier in its run folder, scored: `Training`."""

from dataclasses import dataclass

from telltale.data.splits import Splits
from telltale.evaluation.evaluation import Evaluation
from telltale.evaluation.scoring import evaluate
from telltale.model.classifier import Classifier
from telltale.model.features import Extractor
from telltale.progress import Tell
from telltale.training.fitting import fit
from telltale.training.mirroring import Standing
from telltale.training.recipe import Recipe
from telltale.training.run import Run


@dataclass(frozen=True)
class Training:
    """What a training made: the classifier, its run folder, and how good it is.

    After a cross-validation `test` is about all pictures, each tested by a classifier that had not seen it; the
    classifier, its splits and its validation are those of one fold.
    """

    classifier: Classifier
    run: Run
    splits: Splits
    validation: Evaluation
    test: Evaluation
    seconds: float = 0.0
    mirrors: tuple[Standing, ...] = ()
    """How each mirror stands."""

    @property
    def lacking(self) -> tuple[Standing, ...]:
        """The mirrors that do not have everything."""
        return tuple(one for one in self.mirrors if one.missing or one.error or not one.result)


@dataclass(frozen=True)
class Tools:
    """What a training works with: the device, the frozen network that is open already, and whom to tell."""

    device: str
    extractor: Extractor | None
    tell: Tell


def train_once(splits: Splits, recipe: Recipe, run: Run, tools: Tools) -> Training:
    """Fit on the training part, choose with the validation part, and score the test part once."""
    classifier, run = fit(splits, recipe, run=run, device=tools.device, extractor=tools.extractor, tell=tools.tell)
    validation = evaluate(classifier, splits.validation, seen="mark", seed=recipe.seed, tell=tools.tell)
    test = evaluate(classifier, splits.test, seen="mark", seed=recipe.seed, tell=tools.tell)
    return Training(classifier, run, splits, validation, test)
