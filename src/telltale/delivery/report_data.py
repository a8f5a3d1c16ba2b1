"""The content of a report as JSON: everything that the page says, without the pictures themselves."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from telltale.delivery.content import ReportContent
from telltale.delivery.shown_pictures import choose_pictures
from telltale.delivery.verdict import judge
from telltale.evaluation.evaluation import Evaluation
from telltale.files import write_json

KIND: Final = "report"
VERSION: Final = 1


def write_report_data(path: Path, content: ReportContent) -> Path:
    """Write what the report of `content` says as JSON, with its kind and the version of its format."""
    return write_json(Path(path), KIND, VERSION, to_dict(content))


def to_dict(content: ReportContent) -> dict[str, Any]:
    """Plain values for JSON: what has no number (infinite, not a number) is null.

    `main` names the evaluation that the verdict is about; `pictures` are those that the page shows, in its order.
    """
    choice = choose_pictures(content.evaluation)
    values = {
        "title": content.title,
        "created": content.created,
        "main": content.main,
        "verdict": [asdict(one) for one in judge(content)],
        "facts": dict(content.facts),
        "notes": list(content.notes),
        "evaluations": {part: _describe(one) for part, one in content.evaluations.items()},
        "baselines": [asdict(one) for one in content.baselines],
        "rule": asdict(content.rule) if content.rule else None,
        "learning_curve": asdict(content.curve) if content.curve else None,
        "confused": [
            {"true": one.true, "predicted": one.predicted, "times": one.times, "support": one.support}
            for one in choice.pairs
        ],
        "pictures": [asdict(one) for one in choice.rows],
        "class_counts": {one: dict(counts) for one, counts in content.class_counts.items()},
        "quarantine": [{"path": path, "reason": why, "detail": detail} for path, why, detail in content.quarantine],
        "identical": [list(group) for group in content.identical],
        "history": [dict(row) for row in content.history],
        "looks": [asdict(one) for one in content.looks],
        "settings": dict(content.settings),
        "versions": dict(content.versions),
    }
    return {key: _plain(value) for key, value in values.items()}


def _describe(evaluation: Evaluation) -> dict[str, Any]:
    parts = {"calibration": evaluation.calibration, "selective": evaluation.selective, "sets": evaluation.sets}
    found = {name: asdict(one) if one is not None else None for name, one in parts.items()}
    return evaluation.to_dict() | {"clusters": evaluation.clusters, **found}


def _plain(value: Any) -> Any:
    """The value with what every reader of JSON understands: text that is UTF-8, finite numbers."""
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):  # names of files may hold bytes that are no UTF-8
        return value.encode("utf-8", "replace").decode()
    return value
