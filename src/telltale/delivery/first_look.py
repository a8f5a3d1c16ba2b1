"""The first pass over the pictures: an `Index`, and with a frozen network the features of all of them, in one go."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from telltale.batches.squares import SquareStream, Watchers
from telltale.data.class_names import WARNING
from telltale.data.fixes import apply_fixes
from telltale.data.index import Index, scan
from telltale.data.source import Source
from telltale.model.backbone import USUAL_SIZE, PendingBackbone
from telltale.model.bundle import read_start
from telltale.model.features import Extractor, FeatureStream
from telltale.model.zoo import describe_network
from telltale.progress import Note, Tell, silent
from telltale.training.fitting import request_start
from telltale.training.recipe import Recipe


@contextlib.contextmanager
def prepare_network(recipe: Recipe) -> Iterator[PendingBackbone | None]:
    """The pretrained network of a probe or a fine-tuning: its conversion, where needed, runs beside the scan and ends
    with this block."""
    if recipe.how == "scratch":
        yield None
        return
    pending = request_start(recipe)
    try:
        yield pending
    finally:
        pending.stop()


def adopt_start(recipe: Recipe, tell: Tell) -> Recipe:
    """With `start_from` (a run or a bundle): the recipe with the network, input size and resize of that classifier."""
    if not recipe.start_from:
        return recipe
    start = read_start(recipe.start_from)
    size = recipe.img_size or start.preprocess.size
    tell(Note(f"A new training that starts from the weights of {recipe.start_from} ({start.model}, {size} pixels)."))
    return replace(recipe, model=start.model, img_size=size, resize=start.preprocess.resize)


def scan_with(
    opened: Source, recipe: Recipe, pending: PendingBackbone | None, *, device: str, tell: Tell = silent
) -> tuple[Index, Extractor | None]:
    """Look at the pictures, with the labels that the recipe corrects; with a network compute their features at once."""
    if recipe.labels_fix:
        opened = apply_fixes(opened, Path(recipe.labels_fix))
    squares = _keep_squares(opened, recipe, pending)
    if pending is None:
        return _scan(opened, squares, tell), None
    if pending.converting:
        tell(Note(f"The network {recipe.model} is prepared for this machine, once, beside the first look."))
    stream = FeatureStream(
        pending, size=recipe.img_size, resize=recipe.resize, precision=recipe.arithmetic, device=device
    )
    try:
        index = scan(opened, watcher=stream, tell=tell) if squares is None else _scan(opened, squares, tell, stream)
        return index, stream.finish()
    except BaseException:
        stream.flush()  # what was computed before Ctrl-C need not be computed again
        raise


def _keep_squares(opened: Source, recipe: Recipe, pending: PendingBackbone | None) -> SquareStream | None:
    """Who keeps the decoded pictures for the epochs of a training; nobody where only features are learned from."""
    if recipe.how == "probe" or recipe.freeze == 1:
        return None
    if pending is None:
        size = describe_network(recipe.model, size=recipe.img_size).size
    else:
        # As `FeatureStream` guesses; the squares of another size would be decoded again in the first epoch.
        ready = pending.ready() and not recipe.img_size
        size = pending.result().architecture.size if ready else recipe.img_size or USUAL_SIZE
    return SquareStream(size, recipe.resize, count=len(opened.samples))


def _scan(opened: Source, squares: SquareStream | None, tell: Tell, *others: FeatureStream) -> Index:
    if squares is None:
        return scan(opened, tell=tell)
    try:
        return scan(opened, watcher=Watchers(squares, *others), tell=tell)
    finally:
        squares.flush()


def tell_notes(index: Index, tell: Tell) -> None:
    """Say what was noted while the source was read; what starts with `WARNING` is a warning."""
    for note in index.notes:
        tell(Note(note.removeprefix(WARNING), warning=note.startswith(WARNING)))
