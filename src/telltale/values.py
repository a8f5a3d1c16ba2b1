"""Frozen dataclasses to plain values for JSON, and back by their types: one rule for all that is saved."""

import math
import types
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import lru_cache
from typing import Any, Union, get_args, get_origin, get_type_hints


def to_plain(value: Any) -> Any:
    """Dicts, lists, texts and numbers that JSON can hold; `from_plain` makes the dataclass of them again.

    A number that is infinite or none becomes a text, which JSON has no numbers for.
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(name): to_plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def from_plain(kind: Any, values: Any) -> Any:
    """The value of type `kind` (a dataclass, or a tuple, dict or option of them) of what `to_plain` gave.

    Raises `KeyError`, `TypeError` or `ValueError` where something else is there; what has a default may be missing.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Point:
    ...     places: tuple[float, ...]
    ...     name: str = ""
    >>> from_plain(Point, to_plain(Point((1.0, math.inf))))
    Point(places=(1.0, inf), name='')
    """
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(values, Mapping):
            raise TypeError(f"{values!r} is no {kind.__name__}")
        hints = _hints(kind)
        unknown = values.keys() - {one.name for one in fields(kind)}
        if unknown:
            raise TypeError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
        return kind(**{name: from_plain(hints[name], one) for name, one in values.items()})
    if origin in (Union, types.UnionType):
        if values is None:
            return None
        return from_plain(next(one for one in inner if one is not types.NoneType), values)
    if origin is tuple:
        kinds = [inner[0]] * len(values) if inner[-1] is Ellipsis else inner
        return tuple(from_plain(one, part) for one, part in zip(kinds, values, strict=True))
    if origin is dict:
        return {from_plain(inner[0], name): from_plain(inner[1], one) for name, one in values.items()}
    if kind in (bool, str) and not isinstance(values, kind):
        raise TypeError(f"{values!r} is no {kind.__name__}")
    return kind(values) if kind in (int, float, str) else values


@lru_cache(maxsize=128)
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
