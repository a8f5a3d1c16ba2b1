"""Labels from the files beside each picture in a WebDataset: `KEY.jpg` with `KEY.cls`, `KEY.json` or `KEY.txt`.

A key is what comes before the first dot of a file's name. Which of the files says the class is decided once for all
pictures, by the first that has one: a column that was asked for, a name in the JSON, the `.cls`, a number in the JSON,
the `.txt` where its texts repeat.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

import pyarrow as pa

from telltale.data.class_names import read_class_names
from telltale.data.decoding import EXTENSIONS
from telltale.data.labels import split_of_name
from telltale.data.layout import SAMPLES, SPLITS, Layout
from telltale.data.shard_store import ShardStore
from telltale.data.store import Entries, Store
from telltale.data.table import Columns, find_usual
from telltale.errors import SourceError
from telltale.progress import Advance, Tell, silent

_CLASS: Final = frozenset({"cls", "cls.txt"})
_LARGEST: Final = 1 << 20
"""Bytes of a file that may say a label."""
_TRIED: Final = 100
"""Samples that are looked at to decide which file says the class."""
_CAPTIONS: Final = 0.5
"""With more different texts per picture than this, `.txt` files hold captions, not classes."""


Shard: TypeAlias = tuple[str, Callable[[], Entries]]
"""What the paths of a tar begin with in its store, and what lists its members."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The files of one key: the picture's path, and the paths of the others by their ending."""

    picture: str
    others: dict[str, str]


@dataclass
class Sayings:
    """What was found: samples as columns, and how many pictures had to be left out."""

    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str | None] = field(default_factory=list)
    groups: list[str | None] = field(default_factory=list)
    silent: int = 0


@dataclass(frozen=True, slots=True)
class Teller:
    """Where the class of a picture stands: in the file with which ending, and in which column where that is JSON.

    `image` is the ending of the pictures where several belong to a key; `split` and `group` are columns of the JSON.
    """

    ending: str
    column: str = ""
    image: str = ""
    split: str = ""
    group: str = ""


def read_sidecars(store: Store, beside: Store, wanted: Columns, *, tell: Tell = silent) -> Layout | None:
    """The samples of a WebDataset, or None where no picture has a file beside it that could say its class.

    `beside` is where the tar or tars lie: a list of class names there turns numbers into names. Pictures that nothing
    is said about are left out and counted in a note. Raises `SourceError` where the files beside the pictures are
    there and say no class.
    """
    shards: list[Shard] = [("", store.list)]
    if isinstance(store, ShardStore):
        shards = [(f"{name}/", partial(store.list_shard, name)) for name in store.names]
    teller = _choose_teller(store, shards, wanted)
    if teller is None:
        return None
    tables, left_out = [], 0
    for number, (prefix, members) in enumerate(shards):
        split = split_of_name(prefix.rstrip("/") or store.location.rpartition("/")[2])
        found = _read_shard(store, _group(prefix, members(), teller.image), teller, split)
        columns = (found.paths, found.labels, found.splits, found.groups)
        tables.append(pa.table([pa.array(column, pa.string()) for column in columns], schema=SAMPLES))
        left_out += found.silent
        tell(Advance("read the labels", number + 1, len(shards), "shards"))
    samples, notes = _name_classes(pa.concat_tables(tables), store, beside)
    if teller.ending == "txt":
        _refuse_captions(samples, store)
    origin = f"column {teller.column!r} of their .json" if teller.column else f"their .{teller.ending}"
    notes = [f"Labels from {origin}.", *notes]
    if left_out:
        who = "picture has no label and is" if left_out == 1 else "pictures have no label and are"
        notes.append(f"{left_out:,} {who} left out.")
    return Layout(samples, f"WebDataset, {len(shards):,} {'shard' if len(shards) == 1 else 'shards'}", tuple(notes))


def key_of(path: str) -> tuple[str, str]:
    """The key of a file in a shard, and its ending in lower case.

    >>> key_of("a.b/n01_7.JPG"), key_of("x.cls.txt"), key_of("readme")
    (('a.b/n01_7', 'jpg'), ('x', 'cls.txt'), ('readme', ''))
    """
    folder, slash, name = path.rpartition("/")
    stem, _, ending = name.partition(".")
    return f"{folder}{slash}{stem}", ending.lower()


def _group(prefix: str, entries: Entries, image: str) -> Iterator[Sample]:
    """The samples of a shard: entries are sorted, so those of one key follow each other."""
    for _, files in itertools.groupby(entries, lambda entry: key_of(entry.path)[0]):
        pictures, others = [], {}
        for entry in files:
            ending = key_of(entry.path)[1]
            if f".{ending.rpartition('.')[2]}" in EXTENSIONS:
                if image in ("", ending):
                    pictures.append((ending.count("."), prefix + entry.path))
            elif entry.size <= _LARGEST:
                others[ending] = prefix + entry.path
        if pictures:
            yield Sample(min(pictures)[1], others)  # `a.jpg` rather than `a.mask.png`


def _choose_teller(store: Store, shards: list[Shard], wanted: Columns) -> Teller | None:
    """What says the class of the first picture that has anything beside it."""
    seen: list[str] = []
    samples = (sample for prefix, members in shards for sample in _group(prefix, members(), wanted.image.lower()))
    for sample in itertools.islice(samples, _TRIED):
        facts = _read_json(store, sample.others.get("json", ""))
        seen = seen or [*facts, *(ending for ending in sample.others if ending != "json")]
        usable = [name for name, value in facts.items() if _is_label(value)]
        split, group = wanted.split, wanted.group or find_usual("group", usable)
        for ending, column in _tellers(sample, facts, wanted, find_usual("label", usable)):
            return Teller(ending, column, wanted.image.lower(), split, group)
    if not seen:
        return None
    raise SourceError(
        f"The files beside the pictures in {store.location!r} say no class: there are {_shorten(seen)}.",
        expected=f"{wanted.label!r} among them." if wanted.label else "A .cls, or a label or class_name in a .json.",
        do="Name what says the class with --label-col.",
    )


def _tellers(sample: Sample, facts: dict[str, Any], wanted: Columns, usual: str) -> Iterator[tuple[str, str]]:
    """What could say the class of this picture, the likeliest first: the ending of a file, and a column in it."""
    if wanted.label:
        if wanted.label in facts:
            yield "json", wanted.label
        if wanted.label.lower() in sample.others:
            yield wanted.label.lower(), ""
        return
    if usual and not str(facts[usual]).strip().isdecimal():
        yield "json", usual
    for ending in sorted(_CLASS & sample.others.keys()):
        yield ending, ""
    if usual:
        yield "json", usual
    if "txt" in sample.others and not facts:
        yield "txt", ""


def _shorten(names: list[str]) -> str:
    return ", ".join(map(repr, names[:12])) + (" and more" if len(names) > 12 else "")


def _read_shard(store: Store, samples: Iterator[Sample], teller: Teller, split: str) -> Sayings:
    found = Sayings()
    for sample in samples:
        needed = teller.column or teller.split or teller.group
        facts = _read_json(store, sample.others.get("json", "")) if needed else {}
        if teller.column:
            label = _text(facts.get(teller.column))
        else:
            label = _read_text(store, sample.others.get(teller.ending, ""))
        if label is None or label == "-1":  # timm marks by -1 what has no class
            found.silent += 1
            continue
        said = SPLITS.get((_text(facts.get(teller.split)) or "").lower()) if teller.split else None
        found.paths.append(sample.picture)
        found.labels.append(label)
        found.splits.append(said or split or None)
        found.groups.append(_text(facts.get(teller.group)) if teller.group else None)
    return found


def _read_json(store: Store, path: str) -> dict[str, Any]:
    try:
        facts = json.loads(_read(store, path)) if path else {}
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _read_text(store: Store, path: str) -> str | None:
    try:
        return _text(_read(store, path).decode()) if path else None
    except UnicodeDecodeError:
        return None


def _read(store: Store, path: str) -> bytes:
    try:
        return store.read(path)
    except OSError as error:
        raise SourceError(
            f"{path!r} in {store.location!r} cannot be read ({error.strerror or error}).",
            expected="Whole shards.",
            do="Copy that shard again.",
        ) from error


def _is_label(value: object) -> bool:
    return isinstance(value, str | int)


def _text(value: object) -> str | None:
    return (str(value).strip() or None) if _is_label(value) else None


def _name_classes(samples: pa.Table, store: Store, beside: Store) -> tuple[pa.Table, list[str]]:
    """The samples with names for numbers, where a list of names is found; and what to say about it."""
    encoded = samples.column("label").combine_chunks().dictionary_encode()
    values = encoded.dictionary.to_pylist()
    if not values or not all(value.isdecimal() for value in values):
        return samples, []
    path, names = read_class_names(beside)
    if not names:
        return samples, [f"Classes are numbers: no classes.txt or classnames.txt in {beside.location!r} names them."]
    largest = max(map(int, values))
    if largest >= len(names):
        return samples, [f"Classes are numbers: {path!r} has {len(names):,} names, and there is a class {largest:,}."]
    twice = {name for name, count in Counter(names).items() if count > 1}
    # Two birds and two bathing suits of ImageNet have one name: they must not become one class.
    named = [
        f"{names[int(value)]} ({int(value)})" if names[int(value)] in twice else names[int(value)] for value in values
    ]
    notes = [f"Class names from {path}."]
    if twice:
        notes.append(f"{path} gives {sorted(twice)[0]!r} to several classes: their numbers are added.")
    return samples.set_column(1, "label", pa.array(named, pa.string()).take(encoded.indices)), notes


def _refuse_captions(samples: pa.Table, store: Store) -> None:
    texts = set(samples.column("label").to_pylist())
    if len(texts) > max(_CAPTIONS * samples.num_rows, 1):
        raise SourceError(
            f"The .txt files beside the pictures in {store.location!r} say {len(texts):,} different things about "
            f"{samples.num_rows:,} pictures: captions, not classes.",
            expected="A .cls, or a .json with a label, beside each picture.",
            do="Give a table with the labels, or shards that hold them.",
        )
