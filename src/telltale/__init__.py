"""Telltale: from a folder of pictures to a classifier that can be trusted.

Nouns hold, verbs do; each public name is found in its module on first use, so that `import telltale` and
`telltale --help` stay light:

>>> import telltale
>>> telltale.Recipe(model="cnn", epochs=5).epochs
5
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from telltale.data.findings import Findings as Findings, inspect as inspect
    from telltale.data.index import Index as Index, scan as scan
    from telltale.data.samples import draw_samples as draw_samples
    from telltale.data.source import open_source as open_source
    from telltale.data.splits import Splits as Splits, split as split
    from telltale.delivery.examination import examine as examine
    from telltale.delivery.gallery import show as show
    from telltale.delivery.inspection import InspectionSettings as InspectionSettings
    from telltale.delivery.inspection_pipeline import inspect_source as inspect_source
    from telltale.delivery.pipeline import resume as resume, train as train
    from telltale.delivery.predictor import predict as predict
    from telltale.delivery.run_comparison import compare_runs as compare_runs
    from telltale.delivery.run_list import list_runs as list_runs
    from telltale.delivery.search import search as search
    from telltale.delivery.search_plan import SearchSettings as SearchSettings
    from telltale.errors import UserError as UserError
    from telltale.evaluation.evaluation import Evaluation as Evaluation
    from telltale.evaluation.scoring import evaluate as evaluate
    from telltale.model.bundle import load as load, save as save
    from telltale.model.classifier import Classifier as Classifier, classify as classify
    from telltale.training.fitting import fit as fit
    from telltale.training.recipe import Recipe as Recipe
    from telltale.training.run import Run as Run, open_run as open_run

__version__ = "0.1.0"

_HOME: Final = {
    "Classifier": "telltale.model.classifier",
    "Evaluation": "telltale.evaluation.evaluation",
    "Findings": "telltale.data.findings",
    "Index": "telltale.data.index",
    "InspectionSettings": "telltale.delivery.inspection",
    "Recipe": "telltale.training.recipe",
    "Run": "telltale.training.run",
    "SearchSettings": "telltale.delivery.search_plan",
    "Splits": "telltale.data.splits",
    "UserError": "telltale.errors",
    "classify": "telltale.model.classifier",
    "compare_runs": "telltale.delivery.run_comparison",
    "draw_samples": "telltale.data.samples",
    "evaluate": "telltale.evaluation.scoring",
    "examine": "telltale.delivery.examination",
    "fit": "telltale.training.fitting",
    "inspect": "telltale.data.findings",
    "inspect_source": "telltale.delivery.inspection_pipeline",
    "list_runs": "telltale.delivery.run_list",
    "load": "telltale.model.bundle",
    "open_run": "telltale.training.run",
    "open_source": "telltale.data.source",
    "predict": "telltale.delivery.predictor",
    "resume": "telltale.delivery.pipeline",
    "save": "telltale.model.bundle",
    "scan": "telltale.data.index",
    "search": "telltale.delivery.search",
    "show": "telltale.delivery.gallery",
    "split": "telltale.data.splits",
    "train": "telltale.delivery.pipeline",
}
"""Public name to its module. The imports above say the same to type checkers; a test keeps the two equal."""

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
