"""What could take minutes is refused in milliseconds, and what is only odd is opened."""

import contextlib
import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, PngImagePlugin

from telltale.data.decoding import decode
from telltale.data.headers import (
    MAX_FRAMES,
    MAX_SCANS,
    count_gif_frames,
    count_tiff_pages,
    read_jpeg_header,
    read_webp_size,
    strip_png,
)
from telltale.errors import ImageError


def draw(width=37, height=23):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def save(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def refuse(data, reason, words):
    """`data` is refused for this reason within a second; where a decoder is asked first it takes minutes."""
    start = time.process_time()
    with pytest.raises(ImageError, match=words) as caught:
        decode(data)
    assert caught.value.reason == reason
    assert time.process_time() - start < 1


# --- JPEG


def with_segments(data, marker, content, count=1):
    return data[:2] + (bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content) * count + data[2:]


def repeat_last_scan(data, count):
    """A progressive JPEG that refines the same coefficients again and again."""
    scans = [place for place in range(len(data) - 1) if data[place : place + 2] == b"\xff\xda"]
    return data[:-2] + data[scans[-2] : scans[-1]] * count + b"\xff\xd9"


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_of_very_many_passes_is_refused(mode):
    data = save(Image.new(mode, (64, 64)), "JPEG", progressive=True)
    refuse(repeat_last_scan(data, 300), "broken", "Inconsistent progression")  # as many are left to the decoder
    refuse(repeat_last_scan(data, MAX_SCANS), "too large", "more than 500 passes")


def test_a_large_jpeg_may_have_fewer_passes():
    data = save(Image.new("L", (5000, 5000)), "JPEG", progressive=True)
    assert decode(data).width == 5000
    refuse(repeat_last_scan(data, 90), "too large", "more than 80 passes")


def test_passes_are_counted_in_the_picture_and_not_behind_it():
    data = save(draw(), "JPEG", progressive=True)
    assert decode(data + b"\xff\xda\0\2" * 2000).width == 37
    assert decode(with_segments(data, 0xE1, b"\xff\xda\0\2" * 2000)).width == 37
    assert decode(save(draw(), "JPEG") + b"\xff\xda\0\2" * 2000).width == 37


def test_marks_between_passes_cannot_hide_them():
    data = save(Image.new("L", (64, 64)), "JPEG", progressive=True)
    hidden = b"\xff\xfe\x00\x08\xff\xd9\xff\xd9\xff\xd9"
    bomb = repeat_last_scan(data, MAX_SCANS)
    place = bomb.index(b"\xff\xda", bomb.index(b"\xff\xda") + 2)
    start = bomb.rindex(b"\xff\xc4", 0, place)
    refuse(bomb[:start] + hidden + bomb[start:], "too large", "passes")


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        (b"\xff\xfe\0\2" * 1_000_000, "More than 10,000 segments"),
        (b"\xff\xd0" * 1_000_000, "More than 10,000 segments"),
        (b"\xff\xe1\0\x08Exif\0\0" * 100, "100 EXIF segments"),
        (b"\xff" * 3_000_000, "bytes that mean nothing"),
        (b"\0" * 3_000_000, "bytes that mean nothing"),
        (b"\xff\0" * 1_500_000, "bytes that mean nothing"),
    ],
    ids=["comments", "marks", "exif", "fill bytes", "zeros", "stuffed bytes"],
)
def test_a_jpeg_with_very_much_before_its_pixels_is_refused(mode, prefix, words):
    data = save(draw().convert(mode), "JPEG")
    refuse(data[:2] + b"\xff\xfe\0\2" + prefix + data[2:], "broken", words)


def test_a_little_junk_between_segments_does_no_harm():
    data = save(draw(), "JPEG", quality=80)
    place = data.index(b"\xff\xdb")
    found = decode(data[:place] + b"\0\1\2\xff\xff\xff" + data[place:])
    np.testing.assert_array_equal(found.pixels, decode(data).pixels)
    assert found.quality == 80


def test_the_luminance_table_may_stand_behind_the_other():
    tables = [[200] * 64, [3] * 64]
    data = save(draw(), "JPEG", qtables=tables)
    first, second = data.index(b"\xff\xdb"), data.rindex(b"\xff\xdb")
    swapped = data[:first] + data[second : second + 69] + data[first:second] + data[second + 69 :]
    assert read_jpeg_header(swapped).quality == read_jpeg_header(data).quality < 20
    joined = b"\xff\xdb\0\x84" + data[second + 4 : second + 69] + data[first + 4 : first + 69]
    assert read_jpeg_header(data[:first] + joined + data[second + 69 :]).quality == read_jpeg_header(data).quality


def test_a_table_of_16_bits_is_read():
    data = save(draw(), "JPEG", qtables=[[16] * 64, [16] * 64])
    place = data.index(b"\xff\xdb")
    wide = b"\xff\xdb" + struct.pack(">HB64H", 131, 0x10, *[16] * 64)
    assert read_jpeg_header(data[:place] + wide + data[place + 69 :]) == read_jpeg_header(data)


# --- PNG


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


BOMB = zlib.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    "bomb",
    [chunk(b"iCCP", b"x\0\0" + BOMB), chunk(b"zTXt", b"x\0\0" + BOMB), chunk(b"iTXt", b"x\0\1\0\0\0" + BOMB)],
    ids=["profile", "text", "international text"],
)
def test_metadata_of_png_that_unpack_to_very_much_are_left_out(bomb):
    data = save(draw(), "PNG")
    for changed in (data[:33] + bomb + data[33:], data[:-12] + bomb + data[-12:]):
        assert strip_png(changed) == data
        np.testing.assert_array_equal(decode(changed).pixels, decode(data).pixels)


def test_a_png_without_such_metadata_is_not_copied():
    data = save(draw(), "PNG")
    assert strip_png(data) is data


@pytest.mark.parametrize("packed", [False, True])
def test_an_orientation_in_the_texts_of_a_png_counts(packed):
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = exif.tobytes()
    for key, text in {
        "Raw profile type exif": f"\nexif\n{len(raw)}\n{raw.hex()}",
        "XML:com.adobe.xmp": '<x:xmpmeta tiff:Orientation="6"/>',
    }.items():
        info = PngImagePlugin.PngInfo()
        if key.startswith("XML"):
            info.add_itxt(key, text, zip=packed)
        else:
            info.add_text(key, text, zip=packed)
        info.add_text("Software", "x" * 1000, zip=packed)
        assert decode(save(draw(), "PNG", pnginfo=info)).orientation == 6


def test_a_png_of_very_many_chunks_is_refused():
    data = save(draw(), "PNG")
    assert decode(data[:33] + chunk(b"abCd", b"") * 1000 + data[33:]).width == 37
    refuse(data[:33] + chunk(b"abCd", b"") * 300_000 + data[33:], "broken", "more than 200,000 chunks")


@pytest.mark.parametrize("frames", [2**31 - 1, 2**31])
def test_a_png_that_says_it_has_billions_of_frames_has_a_thousand(frames):
    data = save(draw(), "PNG")
    control = chunk(b"acTL", struct.pack(">II", frames, 0))
    control += chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 37, 23, 0, 0, 1, 1, 0, 0))
    assert decode(data[:33] + control + data[33:]).frames == MAX_FRAMES


# --- GIF


def gif(frames):
    """Head and frames of 4 x 4 pixels."""
    data = save(Image.new("P", (4, 4), 1), "GIF")
    place = data.index(b"\x2c")
    return data[:place], data[place:-1] * frames + b";"


@pytest.mark.parametrize("frames", [1, 2, 999, 1000, 1001, 20_000])
def test_frames_of_a_gif_are_counted_up_to_a_thousand(frames):
    assert decode(b"".join(gif(frames))).frames == min(frames, MAX_FRAMES)


def test_frames_of_a_gif_are_those_that_pillow_counts():
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)) for _ in range(5)]
    options = {"save_all": True, "append_images": pictures[1:], "comment": b"x" * 1000, "loop": 0, "duration": 50}
    data = save(pictures[0], "GIF", **options)
    with Image.open(io.BytesIO(data)) as image:
        assert count_gif_frames(data) == image.n_frames == 5


@pytest.mark.parametrize(
    "filling",
    [b"\x21\xfe" + b"\x01x" * 2_000_000 + b"\0", b"\x21\xfe\x01x\0" * 1_000_000, b"\x55" * 2_000_000],
    ids=["one comment", "comments", "junk"],
)
def test_a_gif_of_very_many_blocks_before_its_first_frame_is_refused(filling):
    head, frame = gif(1)
    assert decode(head + filling[:4] + b"\0" + frame).width == 4
    refuse(head + filling + frame, "broken", "more than 1,000,000 blocks")


# --- TIFF


def tiff(tags, body=b"", following=0):
    """A small-endian TIFF; each tag is number, type, count, value."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", following) + body


def page(width=32, height=32, **changed):
    """Tags of an 8-bit grey picture whose only strip is the file itself from byte 8 on."""
    tags = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8)}
    tags |= {277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, width * height)}
    tags |= {int(name[1:]): value for name, value in changed.items()}
    return [(tag, *value) for tag, value in tags.items()]


def test_a_tiff_whose_pages_are_a_circle_has_one():
    data = tiff(page(), bytes(1024), following=8)
    assert (decode(data).frames, decode(data).width) == (1, 32)


@pytest.mark.parametrize("big", [False, True])
def test_pages_of_a_tiff_are_those_that_pillow_counts(big):
    data = save(draw(), "TIFF", save_all=True, append_images=[draw()] * 6, big_tiff=big)
    with Image.open(io.BytesIO(data)) as image:
        assert count_tiff_pages(data) == decode(data).frames == image.n_frames == 7


def test_pages_of_a_tiff_are_counted_up_to_a_thousand():
    tags = page()
    size = 2 + 12 * len(tags) + 4
    pages = [tiff(tags, following=8 + size * (number + 1))[8:] for number in range(3000)]
    data = b"II*\0" + struct.pack("<I", 8) + b"".join(pages)
    assert decode(data + bytes(2000)).frames == MAX_FRAMES


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (page(t273=(4, 900_000, 8), t278=(4, 1, 16)), "900,000 strips of 32 x 16 pixels, one over the other"),
        (page(t274=(3, 5_000_000, 8)), "values up to its tag 274 are 5,000,"),
        (page(t322=(4, 1, 100_000_000), t323=(4, 1, 16), t324=(4, 1, 8), t325=(4, 1, 9)), "tiles of 100,000,000 x 16"),
        (page(t277=(3, 1, 2048)), "2,048 samples per pixel"),
        (page(t34665=(4, 1, 200)), "values up to its tag 60000 are 2,000,000"),
        ([(number, 4, 1, 1) for number in range(5000)], "says that it has 5,000 tags"),
    ],
    ids=["strips", "orientations", "tiles", "samples", "exif", "tags"],
)
def test_a_tiff_with_lists_that_take_minutes_is_refused(tags, words):
    data = tiff(tags)
    inner = struct.pack("<HHHII", 1, 60_000, 5, 2_000_000, 8)
    refuse(data.ljust(200, b"\0") + inner + bytes(20_000_000), "broken", words)


# --- WEBP, and all


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"II*\0" + bytes(20)}], ids=str)
def test_the_size_that_a_webp_declares_is_read(options):
    assert read_webp_size(save(draw(), "WEBP", **options)) == (37, 23)


def test_a_webp_that_declares_too_much_takes_no_memory():
    data = save(draw(), "WEBP", exif=b"II*\0" + bytes(20))
    refuse(data[:24] + b"\xff\x3e\0\xff\x3e\0" + data[30:], "too large", "16128 x 16128 pixels; at most 100,000,000")


@settings(max_examples=300, deadline=None)
@given(
    start=st.sampled_from([b"\xff\xd8\xff", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0", b"\x89PNG\r\n\x1a\n", b"RIFF"]),
    rest=st.binary(max_size=300),
)
def test_any_header_is_walked_through(start, rest):
    data = start + rest
    for walk in (read_jpeg_header, strip_png, count_gif_frames, count_tiff_pages, read_webp_size):
        with contextlib.suppress(ImageError):
            walk(data)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0xC0, 0xC2, 0xC4, 0xD0, 0xD9, 0xDA, 0xDB, 0xE1, 0xFE, 0xFF, 0]), st.binary(max_size=12)
        )
    ),
    st.integers(0, 8),
)
def test_any_segments_of_a_jpeg_are_walked_through(segments, missing):
    data = b"\xff\xd8\xff\xe0\0\2"
    for mark, content in segments:
        data += bytes([0xFF, mark]) + struct.pack(">H", len(content) + 2) + content
    data = data[: len(data) - missing]
    assert read_jpeg_header(data).quality == 0  # no table is that short
    with contextlib.suppress(ImageError):
        decode(data)
