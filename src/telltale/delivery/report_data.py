"""The content of a report as JSON: everything that the page says, without the pictures themselves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from telltale.delivery.content import ReportContent
from telltale.delivery.shown_pictures import choose_pictures
from telltale.delivery.verdict import judge
from telltale.files import write_json
from telltale.values import to_plain

KIND: Final = "report"
VERSION: Final = 1


def write_report_data(path: Path, content: ReportContent) -> Path:
    """Write what the report of `content` says as JSON, with its kind and the version of its format."""
    return write_json(Path(path), KIND, VERSION, to_dict(content))


def to_dict(content: ReportContent) -> dict[str, Any]:
    """Plain values for JSON, as `to_plain` makes them: a number that is infinite or none is a text.

    `main` names the evaluation that the verdict is about; `pictures` are those that the page shows, in its order.
    """
    choice = choose_pictures(content.evaluation)
    values = {
        "title": content.title,
        "created": content.created,
        "main": content.main,
        "verdict": [to_plain(one) for one in judge(content)],
        "facts": dict(content.facts),
        "notes": list(content.notes),
        "evaluations": {part: one.to_dict() for part, one in content.evaluations.items()},
        "baselines": [to_plain(one) for one in content.baselines],
        "calibrated_on": content.calibrated_on,
        "rule": to_plain(content.rule) if content.rule else None,
        "learning_curve": to_plain(content.curve) if content.curve else None,
        "confused": [to_plain(one.confusion) for one in choice.pairs],
        "pictures": [to_plain(one) for one in choice.rows],
        "class_counts": {one: dict(counts) for one, counts in content.class_counts.items()},
        "quarantine": [{"path": path, "reason": why, "detail": detail} for path, why, detail in content.quarantine],
        "identical": [list(group) for group in content.identical],
        "history": [dict(row) for row in content.history],
        "looks": [to_plain(one) for one in content.looks],
        "settings": dict(content.settings),
        "versions": dict(content.versions),
    }
    return {name: _clean(to_plain(value)) for name, value in values.items()}


def _clean(value: Any) -> Any:
    """Plain values whose texts are UTF-8, which names of files need not be."""
    if isinstance(value, Mapping):
        return {_clean(name): _clean(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_clean(one) for one in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
