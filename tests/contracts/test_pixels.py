"""What is kept by a picture's content stays true only while the same bytes give the same pixels and measures.

Where one of these fails, they have changed: raise the number in `VERSION` of `data/decoding.py`, `data/measures.py` or
`batches/preprocess.py`, so that features and facts of before are not used, and write the new hashes here.
"""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from telltale.batches import preprocess
from telltale.batches.preprocess import Preprocess
from telltale.data import decoding, measures
from telltale.data.decoding import decode
from telltale.data.measures import measure

RAMP = (np.indices((90, 140)).sum(0)[..., None] * np.array([1, 3, 7]) % 256).astype(np.uint8)

SQUARES = {
    "crop": "1e69c2640080",
    "squash": "8f8769bc8d99",
    "pad": "c66b1f86039d",
}
MEASURED = {
    "brightness": 0.484, "contrast": 0.1767, "low": 0.1451, "high": 0.8353, "sharpness": 2.0269, "colour": 0.4286,
}  # fmt: skip
LOOKS = "167d45098409"
DECODED = {"JPEG": "57e3dda7d88c", "PNG": "1d3285bc5a6e"}


def short_hash(pixels):
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:12]


def encode(kind):
    file = io.BytesIO()
    Image.fromarray(RAMP if kind == "PNG" else RAMP // 64 * 64).save(
        file, kind, **{"quality": 90} if kind == "JPEG" else {}
    )
    return file.getvalue()


@pytest.mark.parametrize("resize", SQUARES)
def test_a_square_is_what_it_was(resize):
    assert short_hash(Preprocess(32, resize).apply(RAMP)) == SQUARES[resize]
    assert preprocess.VERSION.startswith("1 opencv ")


@pytest.mark.parametrize("kind", DECODED)
def test_decoded_pixels_are_what_they_were(kind):
    assert short_hash(decode(encode(kind)).pixels) == DECODED[kind]
    assert decoding.VERSION.startswith("2 simplejpeg ")


def test_measures_are_what_they_were():
    found = measure(RAMP)
    assert {name: round(getattr(found, name), 4) for name in MEASURED} == MEASURED
    assert hashlib.sha256(found.fingerprint + found.thumbnail).hexdigest()[:12] == LOOKS
    assert measures.VERSION.startswith("3 opencv ")
