"""Names of classes: the list that turns numbers into names, and one spelling for what looks the same."""

import json
import unicodedata
from collections import Counter, defaultdict
from typing import Any, Final

import pyarrow as pa

from telltale.data.store import Store

WARNING: Final = "Warning: "
"""What a note of a `Source` starts with where it asks for attention."""

FILES: Final = (
    "classes.txt",
    "classnames.txt",
    "class_names.txt",
    "labels.txt",
    "dataset_info.json",
    "_info.json",
    "info.json",
    "classes.json",
)
"""Files beside shards that may list the names of the classes, in the order in which they are looked for."""

_KEYS: Final = ("classes", "class_names", "classnames", "label_names", "names", "class_to_idx")


def read_class_names(store: Store) -> tuple[str, tuple[str, ...]]:
    """The file that lists the names of the classes and the names, by number; both empty where there is none.

    A text file has one name per line; a JSON file a list, a mapping of names to numbers, or the description of a
    Hugging Face data set with its `ClassLabel`.
    """
    for path in FILES:
        try:
            text = store.read(path).decode("utf-8-sig")
            names = _find_names(json.loads(text)) if path.endswith(".json") else _lines(text)
        except (OSError, ValueError, RecursionError):
            continue
        if names:
            return path, tuple(names)
    return "", ()


def settle_spelling(samples: pa.Table) -> tuple[pa.Table, tuple[str, ...]]:
    """The samples with one spelling per class name, and a note for what a reader might take for one class.

    `é` can be written as one sign (NFC) or as two (NFD, as macOS does in archives): names that look the same become
    one class, in NFC. Names that differ only in capitals stay two classes, and that is said.
    """
    encoded = samples.column("label").combine_chunks().dictionary_encode()
    values: list[str] = encoded.dictionary.to_pylist()
    settled = [unicodedata.normalize("NFC", value) for value in values]
    notes = []
    if settled != values:
        samples = samples.set_column(1, "label", pa.array(settled, pa.string()).take(encoded.indices))
        twice = sorted(name for name, count in Counter(settled).items() if count > 1)
        notes += [f"Class {name!r} is spelled in two ways that look the same: they are one class." for name in twice]
    alike = defaultdict(set)
    for name in settled:
        alike[" ".join(name.casefold().split())].add(name)
    for names in alike.values():
        if len(names) > 1:
            shown = " and ".join(map(repr, sorted(names)))
            notes.append(f"{WARNING}{shown} differ only in capitals or spaces. They are taken for different classes.")
    return samples, tuple(notes)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.rstrip().splitlines()]


def _find_names(content: Any) -> list[str]:
    """The first list of names in a JSON file, at the places where they usually stand."""
    if isinstance(content, list):
        return content if content and all(isinstance(one, str) for one in content) else []
    if not isinstance(content, dict):
        return []
    if content and sorted(map(str, content.values())) == sorted(map(str, range(len(content)))):  # names to numbers
        return sorted(content, key=lambda name: int(content[name]))
    if content and sorted(content) == sorted(map(str, range(len(content)))):  # numbers to names
        return _find_names([content[str(number)] for number in range(len(content))])
    for name in _KEYS:
        if found := _find_names(content.get(name)):
            return found
    features = content.get("features")
    for place in features.values() if isinstance(features, dict) else ():
        if isinstance(place, dict) and (found := _find_names(place.get("names"))):
            return found
    return []
