"""`write_card`: the model card of a bundle, in the layout that model hubs read, with the results in it."""

import json
import math
from collections.abc import Iterator, Sequence
from typing import Final

from telltale.delivery.content import ReportContent
from telltale.delivery.verdict import count, judge, percent, span
from telltale.evaluation.evaluation import NAMES
from telltale.evaluation.metrics import Interval
from telltale.model.classifier import Classifier
from telltale.words import enumerate_words, printable

HUB_NAMES: Final = {
    "accuracy": "accuracy",
    "top5_accuracy": "top5_accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "macro_f1": "f1",
    "log_loss": "log_loss",
}
"""Our metrics and what model hubs call them."""

MOST_CLASSES: Final = 50
"""Classes that have a line of their own, those with the lowest recall where there are more."""

_LETTERS: Final = 80


def write_card(classifier: Classifier, content: ReportContent) -> str:
    """The text of README.md: YAML with the metrics (`model-index`), then the same in words, short.

    Names of files and classes are escaped: they come from outside and become neither YAML nor markup.
    """
    lines = [
        *_header(classifier, content),
        f"# {escape(classifier.facts.get('source', content.title))}\n",
        *(f"{_sentence(str(one))}\n" for one in judge(content)[:1]),
        *_use(classifier),
        *_intended(content),
        *_results(content),
        *_trust(content),
        *_limits(content),
        *_data(classifier, content),
    ]
    return "\n".join(lines).rstrip() + "\n"


def escape(text: object) -> str:
    """Text from outside in a Markdown page: no markup, no HTML, no control characters, one line.

    >>> escape("a_b <i>")
    'a\\\\_b \\\\<i\\\\>'
    """
    clean = printable(str(text).replace("\n", " "), 0)
    return "".join("\\" + sign if sign in "\\`*_{}[]<>|#&~$!" else sign for sign in clean)


def _sentence(text: str) -> str:
    return escape(text).replace("\\!", "!")


def _quote(text: object) -> str:
    """A YAML string: JSON's are."""
    return json.dumps(printable(str(text), _LETTERS), ensure_ascii=False)


def _header(classifier: Classifier, content: ReportContent) -> Iterator[str]:
    evaluation, source = content.evaluation, classifier.facts.get("source", content.title)
    yield "---"
    yield "library_name: telltale"
    yield "pipeline_tag: image-classification"
    yield "tags:\n- image-classification\n- telltale"
    yield "metrics:"
    yield from (f"- {HUB_NAMES[name]}" for name in evaluation.metrics)
    yield "model-index:"
    yield f"- name: {_quote(content.title)}"
    yield "  results:"
    yield "  - task:\n      type: image-classification\n      name: Image classification"
    yield f"    dataset:\n      type: imagefolder\n      name: {_quote(source)}\n      split: {_quote(content.main)}"
    yield "    metrics:"
    for name, one in evaluation.metrics.items():
        yield f"    - type: {HUB_NAMES[name]}\n      value: {one.value:.4f}"
        yield f"      name: {_quote(f'{NAMES[name]} (95 % interval {one.low:.3f} to {one.high:.3f})')}"
    if evaluation.calibration is not None:
        error = evaluation.calibration.ece_after
        yield f"    - type: expected_calibration_error\n      value: {error.value:.4f}"
        yield f"      name: {_quote(f'ECE (95 % interval {error.low:.3f} to {error.high:.3f})')}"
    yield "---\n"


def _use(classifier: Classifier) -> Iterator[str]:
    yield "## How to use it\n"
    yield "```python\nimport telltale as tt\n"
    yield 'for row in tt.predict("THIS_FOLDER", ["photo.jpg"]):\n    print(row)\n```\n'
    version = classifier.facts.get("versions", {}).get("telltale", "")
    yield f"Or `telltale predict THIS_FOLDER photo.jpg`. Made with Telltale {escape(version)}".rstrip() + ".\n"


def _intended(content: ReportContent) -> Iterator[str]:
    yield "## What it is for\n"
    use = next(one for one in judge(content) if one.question == "What is it for?")
    yield _sentence(str(use)) + "\n"


def _results(content: ReportContent) -> Iterator[str]:
    evaluation = content.evaluation
    yield "## How good it is\n"
    yield f"On {count(evaluation.images, content.pictures)}, with 95 % intervals:\n"
    yield "| metric | value | interval |\n|---|--:|---|"
    yield from (f"| {NAMES[name]} | {_figures(one)} |" for name, one in evaluation.metrics.items())
    if sum(one.support > 0 for one in evaluation.per_class) > 1:
        majority = escape(repr(printable(evaluation.majority, _LETTERS)))
        yield f"| always saying {majority} | {evaluation.baseline:.3f} | |"
    yield from (f"| {escape(one.name)}: {escape(one.says)} | {_figures(one.accuracy)} |" for one in content.baselines)
    shown = sorted((one for one in evaluation.per_class if one.support), key=lambda one: one.recall.value)
    yield f"\n{'The classes' if len(shown) <= MOST_CLASSES else f'The {MOST_CLASSES} classes'}, lowest recall first:\n"
    yield "| class | pictures | recall | interval | precision | interval |\n|---|--:|--:|---|--:|---|"
    for one in shown[:MOST_CLASSES]:
        name = escape(printable(one.name, _LETTERS))
        yield f"| {name} | {one.support:,} | {_figures(one.recall)} | {_figures(one.precision)} |"
    yield ""


def _figures(one: Interval) -> str:
    return f"{one.value:.3f} | {one.low:.3f} to {one.high:.3f}"


def _trust(content: ReportContent) -> Iterator[str]:
    """Calibration, reject rule and prediction sets, where they are known."""
    lines = [*_calibration(content), *_rule(content)]
    if content.evaluation.sets is not None:
        sets = content.evaluation.sets
        lines.append(
            f"* Its prediction sets hold the right class for {percent(sets.coverage.value)} % of the pictures "
            f"({percent(sets.nominal)} % wanted), with {sets.mean_size:.2f} classes on average."
        )
    if lines:
        yield from ["## How sure it is, and what it refuses\n", *lines, ""]


def _calibration(content: ReportContent) -> Iterator[str]:
    check = content.evaluation.calibration
    if check is not None:
        after = check.ece_after
        yield (
            f"* Calibration error (ECE): {after.value:.3f} ({after.low:.3f} to {after.high:.3f}); "
            f"{check.ece_before:.3f} before calibration (temperature {check.temperature:.2f}"
            f"{_name_calibration(content) if check.temperature != 1 else ''})."
        )


def _name_calibration(content: ReportContent) -> str:
    """What the temperature was set on, where that is known."""
    return f", set on {escape(content.calibrated_on)}" if content.calibrated_on else ""


def _rule(content: ReportContent) -> Iterator[str]:
    rule, one = content.rule, content.evaluation.selective
    if rule is not None and not rule.precision:
        yield "* It was asked to answer always."
        return
    if rule is not None:
        unlike = " and the picture is not unlike all that it learned" if math.isfinite(rule.unlike_above) else ""
        yield (
            f"* It answers where its highest probability is at least {rule.threshold:.3f}{unlike}, "
            f"for {percent(rule.precision)} % right among the answers"
            f"{'' if rule.assured else ', which could not be assured'}."
        )
    if one is None:
        if rule is not None:
            yield "* How many pictures it refuses was not tested."
    elif not one.accepted:
        yield "* It answers none of the pictures."
    else:
        yield (
            f"* It answers {percent(one.coverage.value)} % of the pictures ({span(one.coverage)} %) and has "
            f"{percent(one.accuracy.value)} % of those right ({span(one.accuracy)} %)."
        )


def _limits(content: ReportContent) -> Iterator[str]:
    yield "## Limits\n"
    said = [one for one in judge(content) if one.question in ("Where does it fail?", "What does it refuse?")]
    yield from (f"* {_sentence(one.question)} {_sentence(str(one))}" for one in said)
    if content.evaluation.looks > 1:
        yield f"* The test part was looked at {content.evaluation.looks} times."
    yield ""


def _data(classifier: Classifier, content: ReportContent) -> Iterator[str]:
    facts, backbone = classifier.facts, classifier.extractor.backbone
    size = backbone.architecture.size
    yield "## What it is made of\n"
    yield (
        f"* Network: {escape(backbone.architecture.name)}, {backbone.parameters:,} parameters without the head, input "
        f"{size} x {size}; fit: {escape(facts.get('how', 'unknown'))}"
    )
    yield f"* Data: {escape(facts.get('source', content.title))} ({escape(facts.get('layout', 'unknown'))}), " + (
        f"manifest `{escape(str(facts.get('data_hash', ''))[:16])}…`"
    )
    parts = [f"{number:,} {escape(part)}" for part, number in facts.get("pictures", {}).items()]
    yield f"* Pictures: {_join(parts)}"
    yield f"* Classes: {len(classifier.classes):,}"
    if content.created:
        yield f"* Trained: {escape(content.created)}"


def _join(words: Sequence[str]) -> str:
    return enumerate_words(words) or "unknown"
