"""The report's charts: are the probabilities right, what does refusing buy, would more pictures help."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from telltale.delivery.chart import Tick, ticks
from telltale.delivery.plot import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Bar,
    Dot,
    Mark,
    Plot,
    Stroke,
    across_scale,
    band,
    join_points,
    up_scale,
)
from telltale.evaluation.calibration import Bin, CalibrationCheck
from telltale.evaluation.learning_curve import LearningCurve, LearningPoint
from telltale.evaluation.selective import Selective

MOST_CURVES: Final = 12
"""Classes whose learning curve is drawn: those that end lowest."""

_SHARES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_COLUMN: Final = 44.0
"""Height of the largest bar below a reliability diagram, in the diagram's lower part."""


def draw_reliability(check: CalibrationCheck) -> list[Plot]:
    """Share that is right over the probability that was said, before and after calibration; one where it is none."""
    filled = [one for one in (*check.before, *check.after) if one.pictures]
    lowest = min((min(one.low, one.accuracy.low) for one in filled), default=0.0)
    start = ticks(lowest, 1)[0]
    after = f"off by {100 * check.ece_after.value:.1f} points"
    if check.temperature == 1:
        return [_draw_bins(after.capitalize(), check.after, start, colour=0)]
    before = _draw_bins(f"Before: off by {100 * check.ece_before:.1f} points", check.before, start, colour=1)
    return [before, _draw_bins(f"After: {after}", check.after, start, colour=0)]


def _draw_bins(title: str, bins: Sequence[Bin], start: float, *, colour: int) -> Plot:
    """Both axes from `start` to 1; below the bins their pictures as a histogram, by area."""
    filled = [one for one in bins if one.pictures]
    across, up, marks = across_scale(start, 1), up_scale(start, 1), ticks(start, 1)
    widths = [max(1.0, across.place(one.high) - across.place(one.low) - 1) for one in filled]
    densest = max((one.pictures / width for one, width in zip(filled, widths, strict=True)), default=1)
    dots, bars = [], []
    for one, width in zip(filled, widths, strict=True):
        said, right = f"{one.low:.0%} to {one.high:.0%}", one.accuracy
        words = f"said {said}: {right.value:.1%} of {one.pictures:,} right ({right.low:.1%} to {right.high:.1%})"
        places = (up.place(right.value), up.place(right.low), up.place(right.high))
        dots.append(Dot(across.place(one.confidence), *places, words, colour))
        height = round(max(2.0, _COLUMN * one.pictures / width / densest), 1)
        left = across.place(one.low)
        bars.append(Bar(left, BOTTOM - height, round(width, 1), height, f"said {said}: {one.pictures:,}"))
    return Plot(
        title,
        "; ".join(dot.words for dot in dots),
        across=tuple(Tick(across.place(one), f"{100 * one:g}") for one in marks if one <= 1),
        up=tuple(Tick(up.place(one), f"{100 * one:g}") for one in marks if one <= 1),
        across_name="probability that was said, %",
        guides=(join_points([LEFT, RIGHT], [BOTTOM, TOP]),),
        dots=tuple(dots),
        bars=tuple(bars),
    )


def draw_coverage(selective: Selective) -> Plot:
    """Accuracy of what is answered over the share that is answered; the rule's own place is marked."""
    curve = sorted(selective.curve, key=lambda one: one.coverage)
    lows = [one.accuracy.low for one in curve if one.coverage >= 0.2] or [one.accuracy.low for one in curve] or [0.0]
    marks = ticks(min(*lows, selective.accuracy.low, selective.precision or 1.0), 1.0)
    across, up = across_scale(0, 1), up_scale(marks[0], 1.0)
    xs = [across.place(one.coverage) for one in curve]
    chosen = selective.coverage.value
    accuracy = selective.accuracy
    here = Dot(
        across.place(chosen),
        up.place(accuracy.value),
        up.place(accuracy.low),
        up.place(accuracy.high),
        f"chosen: {chosen:.1%} answered, {accuracy.value:.1%} of them right",
        1,
    )
    return Plot(
        "Right among the answered, %",
        here.words,
        across=tuple(Tick(across.place(one), f"{100 * one:.0f}") for one in _SHARES),
        up=tuple(Tick(up.place(one), f"{100 * one:g}") for one in marks if one <= 1),
        across_name="answered, % of all pictures",
        bands=(band(xs, *_ends([(one.accuracy.low, one.accuracy.high) for one in curve], up.place)),),
        guides=(join_points([LEFT, RIGHT], [up.place(selective.precision)] * 2),) if selective.precision else (),
        strokes=(Stroke(join_points(xs, [up.place(one.accuracy.value) for one in curve])),),
        dots=(here,) if selective.accepted else (),
        marks=(Mark(across.place(chosen), f"this rule: {100 * chosen:.1f} %"),),
    )


def draw_learning(curve: LearningCurve) -> Plot:
    """Accuracy over the number of training pictures, with its band; pictures in equal ratios."""
    return _draw_points("Accuracy, %", curve.points, _range([curve.points]))


def draw_learning_of_classes(curve: LearningCurve) -> list[Plot]:
    """The recall of the classes that end lowest, all on one scale; at most `MOST_CURVES`."""
    known: Mapping[str, Sequence[LearningPoint]] = {name: points for name, points in curve.per_class.items() if points}
    order = sorted(known, key=lambda name: known[name][-1].accuracy)[:MOST_CURVES]
    if not order:  # too few validation pictures of any class
        return []
    shared = _range([known[name] for name in order])
    drawn = [_draw_points(name, known[name], shared) for name in sorted(order, key=list(known).index)]
    return [replace(one, across=_outer(one.across), up=_outer(one.up)) for one in drawn]


def _outer(ticks: tuple[Tick, ...]) -> tuple[Tick, ...]:
    """The first and the last tick: small charts have no room for more."""
    return (ticks[0], ticks[-1]) if len(ticks) > 1 else ticks


def _draw_points(title: str, points: Sequence[LearningPoint], marks: Sequence[float]) -> Plot:
    sizes = [one.pictures for one in points]
    across = across_scale(max(1, min(sizes)), max(2, *sizes), log=True)
    up = up_scale(marks[0], marks[-1])
    xs = [across.place(max(1, size)) for size in sizes]
    words = [f"{one.pictures:,} pictures: {one.accuracy:.1%} ({one.low:.1%} to {one.high:.1%})" for one in points]
    ends = _ends([(one.low, one.high) for one in points], up.place)
    heights = [up.place(one.accuracy) for one in points]
    return Plot(
        title,
        "; ".join(words),
        across=tuple(_spread([Tick(x, f"{size:,}") for x, size in zip(xs, sizes, strict=True)])),
        up=tuple(Tick(up.place(one), f"{100 * one:g}") for one in marks),
        across_name="training pictures",
        bands=(band(xs, *ends),),
        strokes=(Stroke(join_points(xs, heights)),),
        dots=tuple(Dot(x, y, y, y, said) for x, y, said in zip(xs, heights, words, strict=True)),
    )


def _range(curves: Sequence[Sequence[LearningPoint]]) -> list[float]:
    """Ticks of an axis that holds these curves with their bands, up to 1 at most."""
    points = [one for curve in curves for one in curve]
    return [one for one in ticks(min(one.low for one in points), max(one.high for one in points)) if 0 <= one <= 1]


def _ends(pairs: Sequence[tuple[float, float]], place: Callable[[float], float]) -> tuple[list[float], list[float]]:
    return [place(low) for low, _ in pairs], [place(high) for _, high in pairs]


def _spread(places: list[Tick], room: float = 44.0) -> list[Tick]:
    """Ticks without those that would run into the one to their right."""
    kept: list[Tick] = []
    for tick in reversed(places):
        if not kept or kept[-1].place - tick.place >= room:
            kept.append(tick)
    return kept[::-1]
