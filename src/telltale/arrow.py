"""Arrow tables as files: written whole or not at all, read as memory maps, checked before they are believed."""

from pathlib import Path
from typing import Final

import pyarrow as pa

from telltale.files import write_atomic

UNREADABLE: Final = (OSError, ValueError, pa.ArrowException)
"""What `read_arrow` raises for a file that is missing, damaged or something else."""

_COPIED_BYTES: Final = 2**29


def write_arrow(path: Path, table: pa.Table) -> Path:
    """Write `table` with the metadata of its schema, as one batch unless it is too large to be copied for that."""

    def write(file: object) -> None:
        with pa.ipc.new_file(file, table.schema) as writer:
            small = table.nbytes <= _COPIED_BYTES
            writer.write_table(table.combine_chunks() if small else table, max_chunksize=max(1, table.num_rows))

    return write_atomic(path, write)


def read_arrow(path: Path) -> tuple[pa.Table, dict[str, str]]:
    """The table in a file, mapped into memory, and its metadata as texts; one of `UNREADABLE` where it is damaged."""
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    table.validate(full=True)  # texts with wrong offsets would end the process later; numbers are not looked at
    return table, {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
