"""`draw_album`: small JPEGs of pictures, decoded in threads, for a page that holds them all."""

from collections.abc import Iterable
from typing import Final

from telltale.data.decoding import decode
from telltale.data.index import Index
from telltale.delivery.page import thumbnail
from telltale.device import workers
from telltale.errors import ImageError
from telltale.progress import Advance, Tell, silent
from telltale.threads import map_in_order

MOST_BYTES: Final = 7_000
"""Of one picture: 400 of them, 4/3 as long in base64, are 3.7 MB."""


def draw_album(index: Index, paths: Iterable[str], *, tell: Tell = silent) -> dict[str, bytes]:
    """JPEG of at most 160 pixels by path of `index`; without those that cannot be read (any more)."""
    wanted = list(dict.fromkeys(paths))

    def draw(path: str) -> bytes | None:
        try:
            return thumbnail(decode(index.store.read(path)).pixels, most=MOST_BYTES)
        except (ImageError, OSError):
            return None

    album = {}
    for done, (path, picture) in enumerate(zip(wanted, map_in_order(draw, wanted, threads=workers()), strict=True), 1):
        if picture is not None:
            album[path] = picture
        tell(Advance("draw the report's pictures", done, len(wanted)))
    return album
