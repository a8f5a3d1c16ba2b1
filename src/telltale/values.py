"""Frozen dataclasses to plain values for JSON, and back by their types: one rule for all that is saved."""

import math
import types
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Value = TypeVar("Value")


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


def from_plain(kind: type[Value], values: Any) -> Value:
    """The dataclass `kind` of what `to_plain` gave; nested ones, tuples and dicts by their types.

    Raises `KeyError`, `TypeError` or `ValueError` where something else is there; what has a default may be missing.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Point:
    ...     places: tuple[float, ...]
    ...     name: str = ""
    >>> from_plain(Point, to_plain(Point((1.0, math.inf))))
    Point(places=(1.0, inf), name='')
    """
    return _read(kind, values)  # type: ignore[no-any-return]


def _read(kind: Any, value: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, Mapping):
            raise TypeError(f"{value!r} is no {kind.__name__}")
        hints = _hints(kind)
        return kind(**{one.name: _read(hints[one.name], value[one.name]) for one in fields(kind) if one.name in value})
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _read(next(one for one in inner if one is not types.NoneType), value)
    if origin is tuple:
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_read(one, part) for one, part in zip(kinds, value, strict=True))
    if origin is dict:
        return {_read(inner[0], name): _read(inner[1], one) for name, one in value.items()}
    if kind is bool and not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return kind(value) if kind in (int, float, str) else value


@lru_cache(maxsize=128)
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
