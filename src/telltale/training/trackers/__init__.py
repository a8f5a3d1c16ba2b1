"""Programs that show how trainings go, by name: `telltale train --tracker NAME`."""

import importlib.util
from collections.abc import Sequence
from typing import Final

from telltale.errors import RecipeError
from telltale.progress import Note, Tell, silent
from telltale.registry import Registry
from telltale.training.trackers.board import Trackers
from telltale.training.trackers.mlflow import MLflow
from telltale.training.trackers.tensorboard import TensorBoard
from telltale.training.trackers.tracker import Tracker
from telltale.training.trackers.wandb import WandB

TRACKERS: Final = Registry[type[Tracker]]("tracker", {"mlflow": MLflow, "tensorboard": TensorBoard, "wandb": WandB})
"""Name, which is that of the extra too, to what is told of a training."""


def check_trackers(names: Sequence[str], tell: Tell = silent) -> None:
    """Raise now, before anything is trained, what would not work with these trackers; warn of what may not work.

    >>> check_trackers(["tensorbord"])
    Traceback (most recent call last):
    telltale.errors.UserError: No tracker named 'tensorbord'. Did you mean 'tensorboard'? \
Choose one of: mlflow, tensorboard, wandb.
    """
    kinds = {name: TRACKERS[name] for name in names}
    for name, kind in kinds.items():
        if importlib.util.find_spec(kind.package) is None:
            raise RecipeError(
                f"The tracker {name!r} needs a package that is not installed here.",
                expected=f"The extra {name!r}.",
                do=f"pip install 'telltale[{name}]'",
            )
    for name, kind in kinds.items():
        warning = kind().check()
        if warning:
            tell(Note(f"{name}: {warning}", warning=True))


def open_trackers(names: Sequence[str], *, tell: Tell = silent) -> Trackers:
    """What tells each of these trackers of a training; a name that is given twice counts once."""
    return Trackers({name: TRACKERS[name]() for name in names}, tell=tell)
