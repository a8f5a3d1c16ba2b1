"""Any picture comes out upright, in RGB and whole; anything else has a reason, quickly, and no pixels."""

import ast
import io
import re
import struct
import time
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, ImageOps

import telltale.data.decoding
from telltale.data.decoding import ENDING_FORMATS, EXTENSIONS, FORMATS, MAX_PIXELS, REASONS, Picture, decode
from telltale.errors import ImageError

ORIENTATION = 0x0112


def draw(width=37, height=23):
    """A picture without any symmetry, smooth enough for JPEG."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    pixels = np.stack([255 * x, 255 * y, 255 * (1 - x) * (1 - y)], axis=-1)
    pixels[: height // 3, : width // 4] = (250, 20, 30)
    return Image.fromarray(pixels.astype(np.uint8))


def draw_noise(width=64, height=48):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def save(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def as_pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def refuse(data, reason, **options):
    """`data` has no picture, for this reason; the detail is a sentence."""
    with pytest.raises(ImageError) as caught:
        decode(data, **options)
    assert caught.value.reason == reason, caught.value
    assert caught.value.detail.endswith(".") and caught.value.detail[0].isupper()
    return caught.value.detail


# --- JPEG, the common case


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "grey"])
@pytest.mark.parametrize("size", [(64, 48), (37, 23), (1, 1), (1, 50), (17, 1), (16, 8)], ids=str)
def test_a_jpeg_has_the_pixels_that_pillow_gives(size, subsampling, progressive):
    for picture in (draw(*size), draw_noise(*size)):
        if subsampling == "grey":
            data = save(picture.convert("L"), "JPEG", progressive=progressive)
        else:
            data = save(picture, "JPEG", subsampling=subsampling, progressive=progressive, quality=85)
        found = decode(data)
        np.testing.assert_array_equal(found.pixels, as_pillow(data))
        assert (found.width, found.height, found.format, found.orientation, found.frames) == (*size, "JPEG", 1, 1)
        assert found.mode == ("L" if subsampling == "grey" else "RGB")
        assert found.pixels.dtype == np.uint8 and found.pixels.flags.c_contiguous


@pytest.mark.parametrize("keep_rgb", [False, True])
def test_a_jpeg_with_restart_marks_or_without_ycbcr_is_as_in_pillow(keep_rgb):
    data = save(draw(), "JPEG", keep_rgb=keep_rgb, restart_marker_rows=1)
    np.testing.assert_array_equal(decode(data).pixels, as_pillow(data))


def test_bytes_between_the_pixels_and_the_end_do_no_harm():
    data = save(draw(), "JPEG")
    np.testing.assert_array_equal(decode(data[:-2] + b"\0\1\2\xff\xd9").pixels, decode(data).pixels)
    np.testing.assert_array_equal(decode(data + b"appended").pixels, decode(data).pixels)


# --- orientation


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_gives_the_upright_picture(kind, orientation):
    upright = draw(48, 32)
    turns = {1: [], 2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}  # how a camera held so would store it
    stored = upright
    for turn in turns[orientation]:
        stored = stored.transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}, "AVIF": {"quality": 100}}
    data = save(stored, kind, exif=exif, **options.get(kind, {}))
    found = decode(data)
    assert (found.width, found.height, found.orientation, found.format) == (48, 32, orientation, kind)
    assert np.abs(found.pixels.astype(int) - np.asarray(upright).astype(int)).mean() < (3 if kind in options else 0.01)
    np.testing.assert_array_equal(found.pixels, as_pillow(data))


def with_segment(data, marker, content):
    """A JPEG with one more segment right after its start."""
    return data[:2] + bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content + data[2:]


def test_an_orientation_behind_long_comments_counts():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = save(draw(), "JPEG", exif=exif)
    for _ in range(3):
        data = with_segment(data, 0xFE, b"x" * 60_000)
    assert decode(data).orientation == 6
    np.testing.assert_array_equal(decode(data).pixels, as_pillow(data))


def test_an_orientation_in_xmp_counts_as_in_pillow():
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta tiff:Orientation="8"/>'
    data = with_segment(save(draw(), "JPEG"), 0xE1, xmp)
    assert decode(data).orientation == 8
    np.testing.assert_array_equal(decode(data).pixels, as_pillow(data))


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_orientation_that_does_not_exist_turns_nothing(value):
    exif = Image.Exif()
    exif[ORIENTATION] = value
    for kind in ("JPEG", "PNG"):
        found = decode(save(draw(), kind, exif=exif))
        assert (found.width, found.height, found.orientation) == (37, 23, 1)


# --- colour


def test_cmyk_and_ycck_become_rgb():
    for picture in (draw().convert("CMYK"), draw().convert("CMYK", colors=4)):
        data = save(picture, "JPEG", quality=95)
        found = decode(data)
        assert (found.mode, found.pixels.shape) == ("CMYK", (23, 37, 3))
        np.testing.assert_array_equal(found.pixels, as_pillow(data))
    adobe = data.index(b"Adobe")
    ycck = data[: adobe + 11] + b"\x02" + data[adobe + 12 :]
    assert decode(ycck).mode == "CMYK"
    np.testing.assert_array_equal(decode(ycck).pixels, as_pillow(ycck))
    assert np.abs(decode(ycck).pixels.astype(int) - decode(data).pixels).mean() > 5


def test_a_palette_is_expanded():
    picture = draw().convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        found = decode(save(picture, kind))
        assert found.mode == "P" and found.format == kind
        np.testing.assert_array_equal(found.pixels, np.asarray(picture.convert("RGB")))


def over_white(red, green, blue, alpha):
    return [round(value * alpha / 255 + 255 - alpha) for value in (red, green, blue)]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_what_is_transparent_lies_over_white(kind):
    colours = [(200, 10, 30, 255), (200, 10, 30, 128), (0, 0, 0, 0), (20, 90, 250, 51)]
    pixels = np.array(colours, np.uint8)[None].repeat(6, axis=0)
    found = decode(save(Image.fromarray(pixels), kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {})))
    assert found.mode == "RGBA"
    expected = np.array([over_white(*colour) for colour in colours])
    assert np.abs(found.pixels[0].astype(int) - expected).max() <= 1


def test_grey_with_alpha_lies_over_white():
    found = decode(save(Image.fromarray(np.array([[[0, 255], [0, 0], [100, 51]]], np.uint8), "LA"), "PNG"))
    assert found.mode == "LA"
    assert np.abs(found.pixels[0].astype(int) - [[0] * 3, [255] * 3, over_white(100, 0, 0, 51)[:1] * 3]).max() <= 1


@pytest.mark.parametrize(
    ("mode", "value", "transparency"),
    [("P", 1, 1), ("P", 1, b"\xff\x00"), ("L", 7, 7), ("RGB", (1, 2, 3), (1, 2, 3)), ("1", 0, 0)],
    ids=["palette", "palette with alphas", "grey", "colour", "black and white"],
)
def test_a_transparent_colour_of_png_is_white(mode, value, transparency):
    picture = Image.new(mode, (4, 2), value)
    if mode == "P":
        picture.putpalette([10, 20, 30, 40, 50, 60])
    assert (decode(save(picture, "PNG", transparency=transparency)).pixels == 255).all()


def test_a_transparent_gif_lies_over_white():
    picture = Image.new("P", (2, 1), 0)
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    assert decode(save(picture, "GIF", transparency=1)).pixels.tolist() == [[[10, 20, 30], [255, 255, 255]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled_and_not_clipped(kind):
    values = np.array([[0, 257, 2570, 32896, 65535]], np.uint16)
    found = decode(save(Image.fromarray(values), kind))
    assert found.mode.startswith("I")
    assert found.pixels[0, :, 0].tolist() == [0, 1, 10, 128, 255]
    assert (found.pixels == found.pixels[..., :1]).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
        (np.array([[-100, 0, 100]], np.int32), [0, 128, 255]),
        (np.array([[0, 500_000, 1_000_000]], np.int32), [0, 128, 255]),
        (np.array([[70_000, 70_000]], np.int32), [0, 0]),
        (np.array([[0, 0.2, 1]], np.float32), [0, 51, 255]),
        (np.array([[-1, 0, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 51, 255]], np.float32), [0, 51, 255]),
        (np.array([[np.nan, np.inf, 1]], np.float32), [0, 0, 255]),
    ],
    ids=["I 16 bits", "I negative", "I large", "I constant", "F unit", "F negative", "F 255", "F not numbers"],
)
def test_integers_and_floats_of_tiff_become_8_bits(values, expected):
    found = decode(save(Image.fromarray(values), "TIFF"))
    assert found.mode == ("F" if values.dtype == np.float32 else "I")
    assert np.abs(found.pixels[0, :, 0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM", "GIF"])
def test_one_bit_is_black_and_white(kind):
    picture = Image.new("1", (9, 3))
    picture.putpixel((8, 2), 1)
    pixels = decode(save(picture, kind)).pixels
    assert pixels[2, 8].tolist() == [255] * 3 and pixels.sum() == 765


# --- several frames


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_of_several_frames_the_first_counts(kind):
    colours = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]
    frames = [Image.new("RGB", (16, 16), colour) for colour in colours]
    found = decode(save(frames[0], kind, save_all=True, append_images=frames[1:], duration=100))
    assert found.frames == 3 and found.format == kind
    assert np.abs(found.pixels.astype(int) - colours[0]).max() < 12


def test_of_a_stereo_photo_the_first_counts():
    first, second = draw(), Image.new("RGB", (37, 23), "blue")
    data = save(first, "MPO", save_all=True, append_images=[second], quality=95)
    found = decode(data)
    assert found.format == "JPEG"
    np.testing.assert_array_equal(found.pixels, as_pillow(data))


# --- what is no picture

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
REFUSED = {
    "empty": (b"", "empty", "has no bytes"),
    "page": (b"<!DOCTYPE html><html><body>404</body></html>", "html", "is a web page or XML"),
    "page after spaces": (b"\n\n  <HTML>", "html", "web page"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "html", "XML"),
    "xml": (b"<?xml version='1.0'?><Error/>", "html", "XML"),
    "git lfs": (LFS, "pointer", "Git LFS pointer: run `git lfs pull`"),
    "heic": (HEIC, "heic", "convert them to JPEG"),
    "page after a mark": (b"\xef\xbb\xbf<!-- saved --><html>", "html", "web page"),
    "page in 16 bits": ("<!DOCTYPE html>".encode("utf-16"), "html", "web page"),
    "text": (b"hello, I am a text", "not an image", "it is a text: 'hello, I am a text'"),
    "zeros": (bytes(100), "not an image", "nothing but zeros"),
    "bytes": (bytes(range(128, 160)), "not an image", "first bytes 80 81 82"),
    "pdf": (b"%PDF-1.4" + bytes(40), "not an image", "it is a PDF document"),
    "zip": (b"PK\x03\x04" + bytes(40), "not an image", "it is a ZIP archive"),
    "gzip": (b"\x1f\x8b" + bytes(40), "not an image", "it is a gzip archive"),
    "film": (b"\0\0\0\x18ftypmp42" + bytes(40), "not an image", "it is a film"),
    "sound": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(30), "not an image", "a sound or a film"),
    "start of a jpeg": (b"\xff\xd8\xff", "truncated", "within the header of its JPEG"),
    "start of a png": (b"\x89PNG\r\n\x1a\n", "truncated", "within the header of its PNG"),
    "start of a gif": (b"GIF89a", "truncated", "within the header of its GIF"),
    "start of a tiff": (b"II*\0", "truncated", "within the header of its TIFF"),
    "start of an avif": (b"\0\0\0\x18ftypavif" + bytes(40), "broken", "the header of its AVIF is damaged"),
    "start of a ppm": (b"P6\n24 twenty\n255\n", "broken", "has no width, height and largest value"),
}


@pytest.mark.parametrize(("data", "reason", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_picture_is_named(data, reason, words):
    assert words in refuse(data, reason)


@pytest.mark.parametrize("kind", ["EPS", "ICO", "PCX", "TGA", "SGI", "DDS", "JPEG2000", "PDF", "QOI"])
def test_a_format_outside_the_list_is_not_opened(kind):
    picture = draw(32, 32)
    assert kind not in FORMATS
    refuse(save(picture, kind), "not an image")


def test_a_psd_is_not_opened():
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 4, 4, 8, 3)
    refuse(header + bytes(12) + struct.pack(">H", 0) + bytes(48), "not an image")


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def declare(kind, width, height):
    """A tiny file that says it is huge."""
    if kind == "PNG":
        header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
    if kind == "BMP":
        return (
            b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)
        )
    if kind == "PPM":
        return f"P6 {width} {height} 255\n".encode() + bytes(100)
    data = save(draw(), kind)
    if kind == "GIF":
        return data[:6] + struct.pack("<HH", min(width, 65535), min(height, 65535)) + data[10:]
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", min(height, 65535), min(width, 65535)) + data[place + 4 :]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "GIF", "JPEG"])
def test_a_bomb_is_refused_at_once_and_without_memory(kind):
    data = declare(kind, 100_000, 100_000)
    assert len(data) < 3000
    tracemalloc.start()
    start = time.perf_counter()
    try:
        assert "pixels" in refuse(data, "too large")
        assert time.perf_counter() - start < 1
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_the_limit_of_pixels_is_exact(kind):
    data = save(draw(), kind)
    assert decode(data, max_pixels=37 * 23).width == 37
    assert refuse(data, "too large", max_pixels=37 * 23 - 1).startswith("The picture has 37 x 23 pixels; at most 850")


def test_between_our_limit_and_pillows_no_warning_is_given():
    assert "at most 100,000,000" in refuse(declare("PNG", 12_000, 10_000), "too large")
    assert Image.MAX_IMAGE_PIXELS < MAX_PIXELS < 2 * Image.MAX_IMAGE_PIXELS


def test_a_file_that_is_too_long_is_not_looked_at(monkeypatch):
    data = save(draw(), "PNG")
    monkeypatch.setattr(telltale.data.decoding, "MAX_BYTES", len(data) - 1)
    assert "bytes; at most" in refuse(data, "too large")
    monkeypatch.setattr(telltale.data.decoding, "MAX_BYTES", len(data))
    decode(data)


# --- damage


def try_decode(data):
    """The picture, or the reason why there is none."""
    try:
        return decode(data, max_pixels=1_000_000)
    except ImageError as error:
        return REASONS[error.reason]


def explain(data):
    """Why there is no picture; None where there is one."""
    try:
        decode(data, max_pixels=1_000_000)
    except ImageError as error:
        return error.detail
    return None


EXIF = Image.Exif()
EXIF[ORIENTATION] = 6
WHOLE = {
    "JPEG": save(draw(), "JPEG"),
    "JPEG progressive": save(draw(), "JPEG", progressive=True),
    "JPEG turned": save(draw(), "JPEG", exif=EXIF),
    "JPEG CMYK": save(draw().convert("CMYK"), "JPEG"),
    "PNG": save(draw(), "PNG"),
    "PNG palette": save(draw().convert("P"), "PNG", transparency=3),
    "PNG 16 bits": save(Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100), "PNG"),
    "GIF": save(draw(), "GIF", save_all=True, append_images=[draw().rotate(90)]),
    "BMP": save(draw(), "BMP"),
    "WEBP": save(draw(), "WEBP"),
    "WEBP lossless": save(draw(), "WEBP", lossless=True),
    "TIFF": save(draw(), "TIFF"),
    "TIFF packed": save(draw(), "TIFF", compression="tiff_lzw"),
    "AVIF": save(draw(), "AVIF"),
    "PPM": save(draw(), "PPM"),
    "MPO": save(draw(), "MPO", save_all=True, append_images=[draw().rotate(180)]),
}
PIXELS = {name: decode(data).pixels for name, data in WHOLE.items()}


@settings(max_examples=250, deadline=None)
@given(name=st.sampled_from(sorted(WHOLE)), share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_gives_all_of_its_pixels_or_none(name, share):
    found = try_decode(WHOLE[name][: int(share * len(WHOLE[name]))])
    if isinstance(found, Picture):
        np.testing.assert_array_equal(found.pixels, PIXELS[name])


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_a_file_with_other_bytes_is_a_whole_picture_or_an_image_error(name, data):
    changed = bytearray(WHOLE[name])
    for place in data.draw(st.lists(st.integers(0, len(changed) - 1), min_size=1, max_size=4)):
        changed[place] = data.draw(st.integers(0, 255))
    found = try_decode(bytes(changed))
    if isinstance(found, Picture):
        assert found.pixels.shape == (found.height, found.width, 3) and found.pixels.dtype == np.uint8


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([data[:16] for data in WHOLE.values()] + [b""]))
def test_any_bytes_are_refused_with_a_reason(data, start):
    with pytest.raises(ImageError) as caught:
        decode(start + data)
    assert caught.value.reason in REASONS


CUT = ["JPEG", "JPEG progressive", "JPEG turned", "JPEG CMYK", "PNG", "BMP", "TIFF", "WEBP", "WEBP lossless", "PPM"]


@pytest.mark.parametrize("name", CUT)
def test_a_file_cut_within_its_pixels_is_truncated(name):
    data = WHOLE[name]
    for share in (0.5, 0.6, 0.7):
        refuse(data[: int(share * len(data))], "truncated")


def test_of_an_animation_only_the_first_frame_must_be_whole():
    data = WHOLE["GIF"]
    refuse(data[: int(0.4 * len(data))], "truncated")
    np.testing.assert_array_equal(decode(data[: int(0.7 * len(data))]).pixels, PIXELS["GIF"])


@pytest.mark.parametrize("kind", ["plain", "with Exif", "CMYK", "RGB"])
def test_a_jpeg_cut_within_its_pixels_is_truncated_even_with_an_end(kind):
    options = {"with Exif": {"exif": EXIF}, "RGB": {"keep_rgb": True}}
    data = save(draw_noise().convert("CMYK" if kind == "CMYK" else "RGB"), "JPEG", **options.get(kind, {}))
    pixels = data.index(b"\xff\xda") + 14
    for place in range(pixels + 50, len(data) - 50, 97):
        assert "premature end" in refuse(data[:place] + b"\xff\xd9", "truncated")


def test_a_jpeg_whose_codes_mean_nothing_is_broken():
    data = bytearray(save(draw_noise(), "JPEG", progressive=True))
    place = data.index(b"\xff\xda") + 100
    found = []
    for number in range(60):
        changed = bytearray(data)
        changed[place + number : place + number + 3] = b"\xfe\xfe\xfe"
        found.append(explain(bytes(changed)) or "")
    assert sum("bad Huffman code" in detail for detail in found) > 5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_a_detail_names_more_than_a_code(kind):
    rng = np.random.default_rng(3)
    for _ in range(40):
        changed = bytearray(save(draw(), kind))
        for place in rng.integers(4, 60, 3):
            changed[place] = rng.integers(256)
        detail = explain(bytes(changed))
        assert detail is None or (len(detail) > 25 and not re.search("error -|driver|KeyError", detail)), detail


# --- what a file says about itself


@pytest.mark.parametrize("grey", [False, True], ids=["colour", "grey"])
def test_the_quality_of_a_jpeg_is_that_it_was_saved_with(grey):
    picture = draw().convert("L") if grey else draw()
    assert [decode(save(picture, "JPEG", quality=quality)).quality for quality in range(1, 101)] == list(range(1, 101))
    assert decode(save(picture, "JPEG", quality=70, progressive=True)).quality == 70
    assert decode(save(draw().convert("CMYK"), "JPEG", quality=83)).quality == 83


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "PPM"])
def test_what_is_no_jpeg_has_no_quality(kind):
    assert decode(save(draw(), kind)).quality == 0


def test_the_quality_of_foreign_tables_is_that_of_the_nearest_sum():
    flat = decode(save(draw(), "JPEG", qtables=[[16] * 64, [16] * 64])).quality
    assert 80 < flat < 90  # 64 x 16 = 1024; libjpeg's table sums to 3,688 at quality 50 and to 738 at 90
    assert decode(save(draw(), "JPEG", qtables=[[1] * 64, [1] * 64])).quality == 100
    assert decode(save(draw(), "JPEG", qtables=[[255] * 64, [255] * 64])).quality == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_is_seen(kind):
    assert not decode(save(draw(), kind)).exif
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif.get_ifd(0x8769)[0x9003] = "2024:01:02 03:04:05"
    found = decode(save(draw(), kind, exif=exif.tobytes()))
    assert found.exif and found.orientation == 1


def test_every_ending_has_formats_that_are_opened():
    assert {one for formats in ENDING_FORMATS.values() for one in formats} == {*FORMATS, "HEIC"}
    assert ENDING_FORMATS[".jpg"] == {"JPEG"} and ENDING_FORMATS[".tif"] == {"TIFF"}
    assert frozenset(ENDING_FORMATS) == EXTENSIONS


# --- reasons, warnings


def test_every_reason_that_is_raised_is_in_the_table_and_every_one_of_the_table_is_raised():
    raised = set()
    for file in Path(telltale.data.decoding.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("ImageError", "_failed")
                and isinstance(node.args[0], ast.Constant)
            ):
                raised.add(node.args[0].value)
            elif isinstance(node, ast.Dict):  # {"error": reason, "detail": words}, where a file could not be read
                pairs = zip(node.keys, node.values, strict=True)
                reasons = [value for key, value in pairs if key is not None and ast.unparse(key) == "'error'"]
                raised |= {reason.value for reason in reasons if isinstance(reason, ast.Constant)}
    assert raised == set(REASONS)


def test_warnings_of_the_program_stay_as_they_are_while_threads_decode():
    png = save(draw(120, 120), "PNG")
    bomb = declare("PNG", 12_000, 10_000)

    def work(number):
        if number % 2:
            refuse(bomb, "too large")
        else:
            decode(png)

    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(400)))
    assert warnings.filters == before


def test_libtiff_prints_nothing_and_is_as_before_afterwards(capfd):
    data = bytearray(WHOLE["TIFF packed"])
    data[10:200] = bytes(190)
    for _ in range(3):
        refuse(bytes(data), "broken")
    assert capfd.readouterr() == ("", "")
    with Image.open(io.BytesIO(bytes(data))) as image, pytest.raises(OSError, match="decoder error"):
        image.load()
    assert "LZW" in capfd.readouterr().err or not telltale.data.decoding._libtiff()
