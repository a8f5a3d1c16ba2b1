"""Squares on the device that trains: all of them at once where they fit, else batch by batch, as uint8.

On the CPU both are plain tensors, which is how the tests run them. What only CUDA has (free memory, pinned memory, a
second stream) was written without a GPU at hand and has not been run yet.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from telltale.batches.loader import Squares, cut

SHARE: Final = 0.4
"""Of the device's free memory that squares may take; the rest is for the network's activations and for validation."""

_CHUNK: Final = 256
"""Pictures that are sent at a time while the device is filled."""


class OnDevice(Protocol):
    """Squares by number, as uint8 `[n, size, size, 3]` on a device."""

    def stream(self, groups: Sequence[NDArray[np.int64]]) -> Iterator[torch.Tensor]:
        """The squares of each group of numbers, in order: copies, which may be changed."""


class Resident:
    """All squares of a part as one tensor on `device`: in an epoch nothing crosses the bus."""

    def __init__(self, squares: Squares, device: str) -> None:
        size = squares.preprocess.size
        self.pixels = torch.empty((len(squares), size, size, 3), dtype=torch.uint8, device=device)
        groups = cut(np.arange(len(squares)), _CHUNK)
        for group, some in zip(groups, squares.stream(groups), strict=True):
            self.pixels[int(group[0]) : int(group[-1]) + 1] = torch.from_numpy(some).to(device)

    def stream(self, groups: Sequence[NDArray[np.int64]]) -> Iterator[torch.Tensor]:
        """The squares of each group of numbers, in order: copies, which may be changed."""
        return (self.pixels.index_select(0, some) for some in send_numbers(groups, self.pixels.device))


class Sent:
    """Squares that come from the cache or a decoder batch by batch: on CUDA the next crosses while one is in use."""

    def __init__(self, squares: Squares, device: str) -> None:
        self._squares = squares
        self._device = torch.device(device)

    def stream(self, groups: Sequence[NDArray[np.int64]]) -> Iterator[torch.Tensor]:
        """The squares of each group of numbers, in order: copies, which may be changed."""
        host = (torch.from_numpy(squares) for squares in self._squares.stream(groups))
        return send(host, self._device) if self._device.type == "cuda" else host


def send_numbers(groups: Sequence[NDArray[np.int64]], device: torch.device | str) -> Sequence[torch.Tensor]:
    """Groups of numbers on the device; they cross once, together, and no step of the epoch waits for them."""
    together = torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *groups])).to(device)
    parts: Sequence[torch.Tensor] = torch.split(together, [len(group) for group in groups])
    return parts


def send(host: Iterator[torch.Tensor], device: torch.device) -> Iterator[torch.Tensor]:
    """Tensors in the host's memory to a CUDA device, each one sent before the one in front of it is handed out.

    They cross from pinned memory on a stream of their own, which runs beside the network; the host never waits.
    """
    beside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def begin(one: torch.Tensor) -> tuple[torch.Tensor, torch.cuda.Event]:
        with torch.cuda.stream(beside):
            sent = one.pin_memory().to(device, non_blocking=True)
            return sent, beside.record_event()

    def finish(sent: torch.Tensor, arrived: torch.cuda.Event) -> torch.Tensor:
        now = torch.cuda.current_stream(device)
        now.wait_event(arrived)
        sent.record_stream(now)  # else its memory would be taken for the next one while the network still reads it
        return sent

    waiting: list[tuple[torch.Tensor, torch.cuda.Event]] = []
    for one in host:
        waiting.append(begin(one))
        if len(waiting) > 1:
            yield finish(*waiting.pop(0))
    for last in waiting:
        yield finish(*last)


def place(squares: Squares, device: str) -> OnDevice:
    """The faster way to have `squares` on `device`: all of them there, where they take at most `SHARE` of its memory.

    On the CPU they stay where they are, in the cache's memory map.
    """
    if torch.device(device).type != "cuda":
        return Sent(squares, device)
    needed, free = 3 * len(squares) * squares.preprocess.size**2, torch.cuda.mem_get_info(device)[0]
    return Resident(squares, device) if needed <= SHARE * free else Sent(squares, device)
