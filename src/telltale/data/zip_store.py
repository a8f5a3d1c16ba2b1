"""Pictures straight from a zip: nothing is unpacked to disk, every thread reads at its own place."""

import lzma
import os
import stat
import struct
import threading
import weakref
import zipfile
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telltale.data.member import Inspector, Limits, damaged_archive, refuse
from telltale.data.store import Entries, Entry, damaged, explain_input, missing, most_bytes

_STORED: Final = zipfile.ZIP_STORED
_DEFLATED: Final = zipfile.ZIP_DEFLATED
_SLOW: Final = (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
_PLAIN_TYPES: Final = (0, stat.S_IFREG, stat.S_IFDIR)
_LOCAL_HEADER: Final = 30


class Reader:
    """Pieces of one file at given places, for many threads at once.

    One `pread` per piece; where the system has none (Windows), a lock around seek and read.
    """

    def __init__(self, path: Path, *, pread: bool = hasattr(os, "pread")) -> None:
        self._handle = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        self._pread = pread
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, self._handle)

    def read(self, size: int, offset: int) -> bytes:
        """`size` bytes from `offset`; fewer where the file ends."""
        data = self._read_once(size, offset)
        while len(data) < size:  # one call reads at most 2 GB
            piece = self._read_once(size - len(data), offset + len(data))
            if not piece:
                break
            data += piece
        return data

    def _read_once(self, size: int, offset: int) -> bytes:
        if self._pread:
            return os.pread(self._handle, size, offset)
        with self._lock:
            os.lseek(self._handle, offset, os.SEEK_SET)
            return os.read(self._handle, size)


class ZipStore:
    """The files of a zip, read where they lie.

    Members are checked when the zip is opened (`Inspector`, and that no two share their bytes); each file's size and
    CRC-32 when it is read. Five numbers are kept per member, not a `ZipInfo`: a tenth of the memory.
    """

    readers = 0

    def __init__(self, path: Path, *, limits: Limits | None = None, location: str = "") -> None:
        self.location = location or str(path)
        self._path = path
        self._inspector = Inspector(self.location, limits or Limits())
        self._rows: dict[str, int] = {}
        self._offsets, self._packed, self._sizes = array("q"), array("q"), array("q")
        self._sums, self._methods = array("Q"), array("H")
        self._slow: dict[int, zipfile.ZipInfo] = {}
        self._slow_lock = threading.Lock()
        with explain_input(path):
            self._reader = Reader(path)
        self._read_directory()
        self._inspector.seen.clear()

    def list(self) -> Entries:
        """All files sorted by path."""
        return [Entry(path, self._sizes[self._rows[path]]) for path in sorted(self._rows)]

    def read(self, path: str) -> bytes:
        """The bytes of one file."""
        row = self._rows.get(path, -1)
        if row < 0:
            raise missing(path)
        size, method = self._sizes[row], self._methods[row]
        if size > most_bytes(path):
            raise damaged(path, f"it has {size:,} bytes, more than {most_bytes(path):,}")
        if method in _SLOW:
            data = self._read_slowly(path, row)
        else:
            data = self._read_packed(path, row)
            if method == _DEFLATED:
                data = self._inflate(path, data, size)
        if len(data) != size or zlib.crc32(data) != self._sums[row]:
            raise damaged(path, "its bytes in the archive are damaged: the checksum differs")
        return data

    def _read_directory(self) -> None:
        try:
            with zipfile.ZipFile(self._path) as archive:
                infos, end = archive.infolist(), archive.start_dir
        # What zipfile raises for directories that are cut or have flipped bytes (tests/data/test_archive.py).
        except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, struct.error, OverflowError) as error:
            raise damaged_archive(self.location, str(error) or type(error).__name__) from error
        places = np.array([(info.header_offset, info.compress_size) for info in infos], np.int64).reshape(-1, 2)
        self._check_overlap([info.orig_filename for info in infos], places, end)
        for info in infos:
            self._add(info)

    def _add(self, info: zipfile.ZipInfo) -> None:
        name, free, ratio = info.orig_filename, self._inspector.limits.free, self._inspector.limits.ratio
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in _PLAIN_TYPES:
            raise refuse(self.location, name, "is a link or a device")
        if name.endswith("/"):
            self._inspector.accept_folder(name)
            return
        if info.flag_bits & _ENCRYPTED:
            raise refuse(self.location, name, "is encrypted")
        if info.compress_type not in (_STORED, _DEFLATED, *_SLOW):
            raise refuse(self.location, name, f"is packed in a way that is not read (method {info.compress_type})")
        if info.file_size > free and info.file_size > info.compress_size * ratio:
            raise refuse(self.location, name, f"would grow to more than {ratio} times its packed size")
        path = self._inspector.accept(name, info.file_size)
        if not path:
            return
        self._rows[path] = len(self._offsets)
        if info.compress_type in _SLOW:
            self._slow[len(self._offsets)] = info
        self._offsets.append(info.header_offset)
        self._packed.append(info.compress_size)
        self._sizes.append(info.file_size)
        self._sums.append(info.CRC)
        self._methods.append(info.compress_type)

    def _check_overlap(self, names: Sequence[str], places: NDArray[np.int64], end: int) -> None:
        """No two members may share bytes: that is how a small zip declares petabytes."""
        order = np.argsort(places[:, 0], kind="stable")
        starts = places[order, 0]
        ends = starts + _LOCAL_HEADER + places[order, 1]
        wrong = np.flatnonzero((ends > np.append(starts[1:], end)) | (starts < 0))
        if len(wrong):
            raise refuse(self.location, names[order[wrong[0]]], "shares its bytes with another member")

    def _read_packed(self, path: str, row: int) -> bytes:
        offset = self._offsets[row]
        header = self._reader.read(_LOCAL_HEADER, offset)
        if header[:4] != b"PK\x03\x04" or len(header) < _LOCAL_HEADER:
            raise damaged(path, "its bytes in the archive are damaged: it has no header")
        # The names in the local header may have another length than those in the directory.
        names = header[26] + (header[27] << 8) + header[28] + (header[29] << 8)
        return self._reader.read(self._packed[row], offset + _LOCAL_HEADER + names)

    def _inflate(self, path: str, packed: bytes, size: int) -> bytes:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)
        except zlib.error as error:
            raise damaged(path, f"its bytes in the archive are damaged ({error})") from error
        return self._check_growth(path, data, size)

    def _read_slowly(self, path: str, row: int) -> bytes:
        """bzip2 and LZMA, rare in zips: one at a time through the standard library."""
        try:
            with self._slow_lock, zipfile.ZipFile(self._path) as archive, archive.open(self._slow[row]) as file:
                data = file.read(self._sizes[row] + 1)
        except (zipfile.BadZipFile, EOFError, ValueError, OSError, lzma.LZMAError) as error:
            raise damaged(path, f"its bytes in the archive are damaged ({error})") from error
        return self._check_growth(path, data, self._sizes[row])

    def _check_growth(self, path: str, data: bytes, size: int) -> bytes:
        if len(data) > size:
            raise refuse(self.location, path, f"holds more than the {size:,} bytes that it declares")
        return data
