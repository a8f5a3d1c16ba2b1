"""HTML for notebooks: nothing that a name holds is understood as HTML."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from telltale.data.markup import SIDE, embed, lay_out, lay_table, paragraph

NASTY = "<script>alert('x')</script>&\"\x07"


@pytest.mark.parametrize("make", [paragraph, lambda text: lay_table([[text]], [text]), lambda text: lay_out(text)])
def test_text_is_escaped(make):
    page = make(NASTY)
    assert "<script" not in page and "\x07" not in page and "&lt;script&gt;" in page


@given(st.text())
def test_a_table_has_only_its_own_tags(text):
    page = lay_table([[text, "b"]])
    assert page.count("<") == page.count(">") == 8


def test_a_picture_is_in_the_page_and_small():
    page = embed(np.zeros((400, 200, 3), np.uint8))
    data = base64.b64decode(page.split("base64,")[1].split('"')[0])
    assert Image.open(io.BytesIO(data)).size == (SIDE // 2, SIDE)
    assert page in lay_table([[page, "name"]])


def test_empty_paragraphs_are_left_out():
    assert paragraph("") == "" and lay_out("title", paragraph("")).count("<p") == 0
