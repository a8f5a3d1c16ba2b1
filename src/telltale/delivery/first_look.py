"""The first pass over the pictures: an `Index`, and with a frozen network the features of all of them, in one go."""

import contextlib
from collections.abc import Iterator

from telltale.data.class_names import WARNING
from telltale.data.index import Index, scan
from telltale.data.source import Source
from telltale.model.backbone import PendingBackbone, request_backbone
from telltale.model.features import Extractor, FeatureStream
from telltale.progress import Note, Tell, silent
from telltale.training.recipe import Recipe


@contextlib.contextmanager
def prepare_network(recipe: Recipe) -> Iterator[PendingBackbone | None]:
    """The frozen network of a probe: its conversion, where needed, runs beside the scan and ends with this block."""
    if recipe.how != "probe":
        yield None
        return
    pending = request_backbone(recipe.model, weights=recipe.weights, size=recipe.img_size)
    try:
        yield pending
    finally:
        pending.stop()


def scan_with(
    opened: Source, recipe: Recipe, pending: PendingBackbone | None, *, device: str, tell: Tell = silent
) -> tuple[Index, Extractor | None]:
    """Look at the pictures and, for a probe, compute their features in the same pass."""
    if pending is None:
        return scan(opened, tell=tell), None
    if pending.converting:
        tell(Note(f"The network {recipe.model} is prepared for this machine, once, beside the first look."))
    stream = FeatureStream(
        pending, size=recipe.img_size, resize=recipe.resize, precision=recipe.precision, device=device
    )
    try:
        index = scan(opened, watcher=stream, tell=tell)
        return index, stream.finish()
    except BaseException:
        stream.flush()  # what was computed before Ctrl-C need not be computed again
        raise


def tell_notes(index: Index, tell: Tell) -> None:
    """Say what was noted while the source was read; what starts with `WARNING` is a warning."""
    for note in index.notes:
        tell(Note(note.removeprefix(WARNING), warning=note.startswith(WARNING)))
