"""`read_thumbnails`: every picture of an `Index` squeezed to 16 x 16, from what the scan kept."""

import numpy as np
from numpy.typing import NDArray

from telltale.cache import digest_matrix
from telltale.data.facts import examine, open_facts
from telltale.data.index import Index
from telltale.data.measures import THUMBNAIL
from telltale.device import workers
from telltale.errors import DataError
from telltale.files import sha256
from telltale.progress import Advance, Tell, silent
from telltale.threads import map_in_order


def read_thumbnails(index: Index, *, tell: Tell = silent) -> NDArray[np.uint8]:
    """uint8 `[len(index), 16, 16, 3]`: each whole picture squeezed to 16 x 16 pixels, RGB.

    What the cache has lost is read and decoded again. All samples must be readable (`index.readable`).
    """
    facts = open_facts()
    rows = facts.find(digest_matrix(index.table.column("digest")))
    out = np.empty((len(index), THUMBNAIL, THUMBNAIL, 3), np.uint8)
    known = np.flatnonzero(rows >= 0)
    if len(known):
        column = facts.take(rows[known], ["thumbnail"]).column("thumbnail").combine_chunks()
        kept = np.frombuffer(column.buffers()[1], np.uint8)[column.offset * out[0].size :]
        out[known] = kept[: len(known) * out[0].size].reshape(-1, *out.shape[1:])
    lost = np.flatnonzero(rows < 0)
    for done, (row, found) in enumerate(
        map_in_order(lambda row: (row, _look(index, int(row))), lost, threads=workers()), 1
    ):
        out[row] = found
        tell(Advance("look at the pictures again", done, len(lost)))
    return out


def _look(index: Index, row: int) -> NDArray[np.uint8]:
    path = index.paths[row]
    try:
        data = index.store.read(path)
        picture, facts = examine(data)
        if sha256(data) != index.table.column("digest")[row].as_py():
            picture, facts = None, {"detail": "Its bytes are others."}
    except OSError as error:
        picture, facts = None, {"detail": str(error)}
    if picture is None:
        raise DataError(
            f"The picture {path!r} could be read when it was scanned, but not now ({facts['detail']}).",
            expected="The pictures that the index describes.",
            do="Run the command again: the scan notices what has changed.",
        )
    return np.frombuffer(facts["thumbnail"], np.uint8).reshape(THUMBNAIL, THUMBNAIL, 3)
