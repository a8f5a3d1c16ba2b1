"""`Manifest`: which pictures a classifier has learned from, so that it is not scored on them.

For each picture of the training and the validation part: the hash of its decoded pixels, which finds it again under any
name and in any format that keeps its pixels, and its fingerprint, which finds copies that were saved again, scaled or
cropped a little. A picture cannot be restored from them: a fingerprint holds 64 numbers, a blur of 8 x 8 pixels.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from telltale.arrow import UNREADABLE, read_arrow, write_arrow
from telltale.data.fingerprint import BYTES, SCALE, fingerprint_matrix
from telltale.data.neighbours import find_nearest
from telltale.errors import BundleError

FORMAT_VERSION: Final = 1
FILE: Final = "training.arrow"
"""Name of the file in a bundle."""

NEW: Final = 0
TRAINED: Final = 1
CHOSE: Final = 2
ALIKE: Final = 3

_SCHEMA: Final = pa.schema([("pixels", pa.binary(16)), ("fingerprint", pa.binary(BYTES)), ("part", pa.int8())])


@dataclass(frozen=True)
class Manifest:
    """The pictures that were learned from (part 0) and that chose between settings (part 1).

    `table` has the columns pixels, fingerprint and part; `radius` is the distance of fingerprints up to which two
    pictures of this collection count as alike.
    """

    table: pa.Table
    radius: float

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @classmethod
    def of(cls, samples: pa.Table, parts: NDArray[np.int8], radius: float) -> "Manifest":
        """The manifest of samples (the table of an `Index`) in these parts: 0 train; 1 validation and 3 calibration."""
        rows = np.flatnonzero(np.isin(parts, (0, 1, 3)))
        table = samples.select(["pixels", "fingerprint"]).take(pa.array(rows))
        return cls(table.append_column("part", pa.array(parts[rows] > 0).cast(pa.int8())).cast(_SCHEMA), radius)

    def join(self, earlier: "Manifest") -> "Manifest":
        """This with what `earlier` lists besides: for weights that began as those of another classifier."""
        learned = self.table.filter(pc.equal(self.table.column("part"), 0))
        chose = pc.equal(earlier.table.column("part"), 1).to_numpy(zero_copy_only=False)
        known = _have_pixels(earlier.table, learned) | (chose & _have_pixels(earlier.table, self.table))
        return Manifest(
            pa.concat_tables([self.table, earlier.table.filter(pa.array(~known))]), max(self.radius, earlier.radius)
        )

    def look_up(self, samples: pa.Table) -> NDArray[np.int8]:
        """int8 `[n]` for samples (the table of an `Index`): what each picture is to the classifier.

        `TRAINED`: the same pixels were learned from; else `ALIKE`: it looks like a picture that was learned from; else
        `CHOSE`: the same pixels chose between settings; else `NEW`.
        """
        found = np.full(samples.num_rows, NEW, np.int8)
        learned = self.table.filter(pc.equal(self.table.column("part"), 0))
        chose = self.table.filter(pc.equal(self.table.column("part"), 1))
        found[_have_pixels(samples, chose)] = CHOSE
        rows, points = fingerprint_matrix(samples.column("fingerprint"))
        _, known = fingerprint_matrix(learned.column("fingerprint"))
        found[rows[find_nearest(points, known, self.radius, scale=SCALE) >= 0]] = ALIKE
        found[_have_pixels(samples, learned)] = TRAINED
        return found

    def save(self, path: Path) -> Path:
        """Write as an Arrow file."""
        facts = {"format_version": str(FORMAT_VERSION), "radius": repr(self.radius)}
        return write_arrow(path, self.table.replace_schema_metadata(facts))

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Read what `save` wrote, as a memory map; `BundleError` where it is something else."""
        try:
            table, texts = read_arrow(path)
            radius = float(texts.get("radius", "nan"))
        except UNREADABLE as error:
            raise BundleError(
                f"The list of training pictures {str(path)!r} cannot be read ({error}).",
                expected="A training.arrow that Telltale wrote.",
                do="Copy the bundle again from where it is whole, or train again.",
            ) from error
        if not table.schema.equals(_SCHEMA) or texts.get("format_version") != str(FORMAT_VERSION) or not radius >= 0:
            raise BundleError(
                f"The list of training pictures {str(path)!r} has format version {texts.get('format_version')!r}.",
                expected=f"Version {FORMAT_VERSION}.",
                do="Use the version of Telltale that trained this classifier, or train again.",
            )
        return cls(table, radius)


def _have_pixels(samples: pa.Table, known: pa.Table) -> NDArray[np.bool_]:
    """Whether each sample has the same pixels as one of `known`."""
    values = known.column("pixels").combine_chunks()
    return pc.is_in(samples.column("pixels"), value_set=values, skip_nulls=True).to_numpy()  # type: ignore[no-any-return]
