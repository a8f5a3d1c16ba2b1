"""What lies where in a source: `Listing`, and the samples that class folders and split folders make.

Columns of samples everywhere: path, label, split, group, all text; split is `train`, `validation`, `test` or null.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from telltale.data.decoding import EXTENSIONS
from telltale.data.store import Store
from telltale.errors import SourceError

SPLITS: Final = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""Names of folders, tables and values that name a split, in lower case."""

SAMPLES: Final = pa.schema([(name, pa.string()) for name in ("path", "label", "split", "group")])
TABLE_ENDINGS: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
THREE_LAYOUTS: Final = """One of three layouts:
  class folders   pictures/cats/1.jpg         pictures/dogs/2.jpg
  split folders   pictures/train/cats/1.jpg   pictures/validation/cats/2.jpg   pictures/test/cats/3.jpg
  a table         pictures/labels.csv (image,label)   pictures/images/1.jpg
"""

_PICTURE: Final = r"(?i)\.(" + "|".join(sorted(ending[1:] for ending in EXTENSIONS)) + r")$"
_TABLE: Final = r"(?i)\.(" + "|".join(ending[1:] for ending in TABLE_ENDINGS) + r")$"


@dataclass(frozen=True)
class Layout:
    """Samples, the words for how they were found, and what a reader should be told."""

    samples: pa.Table
    words: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """The pictures and tables of a store: Arrow columns, so that ten million paths stay small.

    `pictures` are paths, sorted; `folders` the names of the folders that hold them directly; `codes` gives for every
    picture the number of its folder. `chain` are the folders that lead to the first one where something branches off:
    `("", "cats_and_dogs")` for `cats_and_dogs/train/cats/1.jpg`.
    """

    location: str
    pictures: Any
    folders: list[str]
    codes: NDArray[np.int32]
    tables: list[str]
    others: list[str]
    chain: tuple[str, ...]

    @property
    def root(self) -> str:
        """The folder where something branches off."""
        return self.chain[-1]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Pictures directly in each of `folders`."""
        return np.bincount(self.codes, minlength=len(self.folders))

    @cached_property
    def stems(self) -> Any:
        """`pictures` without their endings."""
        return strip_ending(self.pictures)


def survey(store: Store) -> Listing:
    """Look what the store holds."""
    paths = pa.array([entry.path for entry in store.list()], pa.string())
    is_picture = pc.match_substring_regex(paths, _PICTURE)
    is_table = pc.match_substring_regex(paths, _TABLE)
    pictures = paths.filter(is_picture)
    others = paths.filter(pc.invert(pc.or_(is_picture, is_table))).slice(0, 1000).to_pylist()
    encoded = pc.replace_substring_regex(pictures, r"(^|/)[^/]*$", "").dictionary_encode()
    folders = encoded.dictionary.to_pylist()
    return Listing(
        store.location,
        pictures,
        folders,
        encoded.indices.to_numpy(),
        paths.filter(is_table).to_pylist(),
        others,
        _find_chain(folders),
    )


def require_pictures(listing: Listing) -> None:
    """Raise `SourceError` where there is no picture among the files, saying what there is."""
    if not len(listing.pictures):
        raise _explain_nothing(listing)


def read_class_folders(listing: Listing) -> Layout:
    """A sample for every picture in a class folder, with its split where a folder names one.

    The class is the path of the folders below the root, without the split: `a/x` and `b/x` stay two classes.
    """
    places = [place_folder(folder, listing.root) for folder in listing.folders]
    fixed = any(split and label for split, label in places)
    # Beside split folders that hold classes, anything else is probably a copy or a leftover: never mixed in.
    used = np.array([bool(label) and (bool(split) or not fixed) for split, label in places], bool)
    if not used.any():
        raise SourceError(
            f"{listing.location!r} has {len(listing.pictures):,} pictures, but nothing that says their class.",
            expected=THREE_LAYOUTS,
            do="Put the pictures of each class into a folder of their own, or give a table.",
        )
    rows = np.flatnonzero(used[listing.codes])
    codes = pa.array(listing.codes[rows])
    columns = [
        listing.pictures.take(pa.array(rows)),
        pa.array([label for _, label in places], pa.string()).take(codes),
        pa.array([split or None for split, _ in places], pa.string()).take(codes),
        pa.nulls(len(rows), pa.string()),
    ]
    words = "class folders"
    if fixed:
        found = {split for (split, _), one in zip(places, used, strict=True) if one}
        words = "split folders " + ", ".join(split for split in dict.fromkeys(SPLITS.values()) if split in found)
    return Layout(pa.table(columns, schema=SAMPLES), words, _describe_unused(listing, used))


def has_class_folders(listing: Listing) -> bool:
    """Do the folders name at least two classes? A single one, such as `images`, probably names none."""
    return len({place_folder(folder, listing.root)[1] for folder in listing.folders} - {""}) > 1


def place_folder(folder: str, root: str) -> tuple[str, str]:
    """The split and the class that a folder's name says, each empty where it says none.

    The first part that names a split is the split; the class is what remains below the root.

    >>> place_folder("photos/train/cats", "photos"), place_folder("cats/Val", ""), place_folder("photos", "photos")
    (('train', 'cats'), ('validation', 'cats'), ('', ''))
    """
    parts = folder[len(root) :].strip("/").split("/") if folder != root else []
    for number, part in enumerate(parts):
        if part.lower() in SPLITS:
            return SPLITS[part.lower()], "/".join(parts[:number] + parts[number + 1 :])
    return "", "/".join(parts)


def join(folder: str, name: str) -> str:
    """Both as one path; the root folder is empty.

    >>> join("", "a.jpg"), join("cats", "a.jpg")
    ('a.jpg', 'cats/a.jpg')
    """
    return f"{folder}/{name}" if folder else name


def parent(path: str) -> str:
    """The folder that a path lies in; empty for the root.

    >>> parent("cats/a.jpg"), parent("a.jpg")
    ('cats', '')
    """
    return path.rpartition("/")[0]


def strip_ending(paths: Any) -> Any:
    """The paths without the ending of a picture."""
    return pc.replace_substring_regex(paths, _PICTURE, "")


def _find_chain(folders: list[str]) -> tuple[str, ...]:
    """From the top through every folder that is alone at its level and holds no pictures itself."""
    chain, held = [""], set(folders)
    while chain[-1] not in held:
        start = len(chain[-1]) + 1 if chain[-1] else 0
        tops = {folder[start:].split("/", 1)[0] for folder in folders}
        if len(tops) != 1:
            break
        top = tops.pop()
        if top.lower() in SPLITS or join(chain[-1], top) in held:
            break
        chain.append(join(chain[-1], top))
    return tuple(chain)


def _describe_unused(listing: Listing, used: NDArray[np.bool_]) -> tuple[str, ...]:
    notes = []
    for folder, count, one in zip(listing.folders, listing.counts.tolist(), used.tolist(), strict=True):
        if one:
            continue
        shown = folder or listing.location
        split, label = place_folder(folder, listing.root)
        why = f"{shown!r} is outside the split folders" if label else f"{shown!r} has no class folders in it"
        if not label and not split:
            why = f"they lie directly in {shown!r}, in no class folder"
        notes.append(f"{count:,} {'picture is' if count == 1 else 'pictures are'} left out: {why}.")
    return tuple(notes[:5]) + ((f"And more in {len(notes) - 5} other folders.",) if len(notes) > 5 else ())


def _explain_nothing(listing: Listing) -> SourceError:
    endings = Counter(path.rpartition(".")[2].lower() for path in listing.others if "." in path)
    seen = ", ".join(f".{ending}" for ending, _ in endings.most_common(5))
    held = (
        f"only other files ({seen})" if seen else "no files" if not listing.others else "only files without an ending"
    )
    if listing.tables:
        held = f"only the table {listing.tables[0]!r}"
    do = "Check the path."
    packed = [path for path in listing.others if path.lower().endswith((".zip", ".tar", ".gz", ".tgz"))]
    if packed:
        do = f"Give an archive in it by its own name, such as {packed[0]!r}."
    return SourceError(
        f"There are no pictures in {listing.location!r}: {held}.",
        expected=f"Files ending in {', '.join(sorted(EXTENSIONS)[:6])} or a dozen others. {THREE_LAYOUTS}",
        do=do,
    )
