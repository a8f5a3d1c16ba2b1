"""The report: says what it must, escapes what it is given, fetches nothing."""

import io
import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests.delivery.page import Page
from tests.delivery.report_example import evaluated, full, judged

from telltale.delivery.chart import draw_lines, ticks
from telltale.delivery.content import ReportContent
from telltale.delivery.evidence_charts import draw_reliability
from telltale.delivery.page import thumbnail
from telltale.delivery.report import render, write_report
from telltale.delivery.report_data import to_dict, write_report_data
from telltale.delivery.shown_pictures import MOST_MISTAKES, choose_pictures
from telltale.errors import OutputError
from telltale.evaluation.calibration import Bin, CalibrationCheck
from telltale.evaluation.evaluation import Evaluation
from telltale.evaluation.metrics import Interval
from telltale.files import read_json
from telltale.training.ledger import Look


def test_verdict_comes_first_and_is_about_the_test_pictures():
    text = Page(render(full())).text
    claim, reason = "It is mostly right on pictures like these", "Of 250 test pictures never used in training, 92.0 %"
    places = [text.index(words) for words in (claim, reason, "Where does it fail?", "How good it is")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "words",
    [
        "On 250 test pictures never used in training: 92.0 % right, 95 % interval 88.0 to 94.8 %.",
        "validation, 500 pictures",
        "test, 250 pictures",
        "balanced accuracy",
        "Half of validation became the test part.",
        "2 set aside, used nowhere: 1 truncated, 1 empty.",
        "The file ends too early.",
        "cats/3.jpg = cats/3 (copy).jpg",
        "train_loss",
        "val_accuracy",
        "1,375",
        "mobilenetv2_035",
        "Made by Telltale, 2026-01-05 12:00 UTC.",
        "border the outermost tenth",
        "Before: off by 4.0 points",
        "After: off by 1.2 points",
        "temperature 1.30",
        "this rule: 88.0 %",
        "refused as unlike all it learned 10",
        "held it for 96.0 %",
        "refused: unlike",
        "refused: unsure",
        "Twice as many pictures may add 1 point.",
        "The test part was looked at 2 times.",
        "telltale evaluate",
        "above 3.00 a picture is refused as unlike",
        "92.0 %",
    ],
)
def test_report_says(words):
    assert words in Page(render(judged())).text


def test_sections_come_in_the_order_a_reader_needs_and_the_contents_lead_to_them():
    page = Page(render(judged(preview=png(6, 4))))
    sections = [one for one in page.all("section", "id") if one]
    evidence = ["good", "sure", "classes", "confusion", "mistakes", "more-data"]
    assert sections == [*evidence, "data", "training", "preview", "settings", "versions", "looks", "rows"]
    assert page.all("a", "href")[: len(sections)] == [f"#{one}" for one in sections]


@pytest.mark.parametrize("count", [2, 5, 40])
def test_every_link_has_its_target_and_every_picture_its_row(count):
    page = Page(render(judged(tuple(f"class {number}" for number in range(count)))))
    links, ids = page.all("a", "href"), page.ids
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in links} <= set(ids)
    rows = [one for one in ids if one.startswith("row-")]
    assert len(rows) > 20
    assert {one.replace("row", "picture") for one in rows} == {one for one in ids if one.startswith("picture-")}
    assert {f"#{one}" for one in rows} <= set(links)
    assert {f"#{one.replace('row', 'picture')}" for one in rows} <= set(links)
    shown = [attributes.get("class") for tag, attributes in page.tags if tag == "a"].count("shown")
    assert shown >= len(rows)


def test_a_row_says_what_was_said_of_its_picture():
    content = judged()
    row = next(row for row in choose_pictures(content.evaluation).rows if row.verdict == "unlike")
    text = Page(render(content)).text
    assert f"{row.path.replace('/', '/')} {row.true} {row.predicted} {row.probability:.3f}" in text.replace("/ ", "/")
    assert f"{row.second} {row.second_probability:.3f} unlike {row.strangeness:.2f}" in text


def test_headings_have_no_gaps_and_every_picture_has_words():
    page = Page(render(judged(preview=png(6, 4))))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(page.all("img", "alt"))


def test_what_the_network_sees_is_shown_as_a_small_picture():
    noise = np.random.default_rng(0).integers(0, 256, (600, 900, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    page = Page(render(full(preview=file.getvalue())))
    assert "What the network sees" in page.text
    shown = max(page.all("img", "src"), key=len)
    assert shown.startswith("data:image/jpeg;base64,")
    assert len(shown) < len(file.getvalue())
    assert "What the network sees" not in Page(render(full())).text


def test_epoch_0_is_explained_where_there_is_one():
    words = "Epoch 0 is the probe, where the training starts: only the head has learned."
    history = full().history
    assert words not in Page(render(full())).text
    probe = {"epoch": 0, "train_loss": 0.5, "val_loss": 0.4, "val_accuracy": 0.9}
    page = Page(render(full(history=[probe, *history])))
    assert words in page.text
    assert len(page.tags) > len(Page(render(full(history=history))).tags)  # one more tick


def test_settings_read_as_words():
    text = Page(render(full(settings={"augment": ("flip", "rotation=10"), "clip": 0.0, "pool": "", "views": 0}))).text
    assert "augment flip, rotation=10 clip 0.0 pool \N{EN DASH} views 0" in text
    assert "augment \N{EN DASH} fix_leaks no" in Page(render(full(settings={"augment": (), "fix_leaks": False}))).text


def test_many_mistakes_are_cut_and_counted():
    text = Page(render(full(evaluations={"test": evaluated(wrong=60)}))).text
    assert f"The {MOST_MISTAKES} most confident of 60 mistakes." in text


def test_names_are_escaped():
    evil = "<script>alert('1')</script>"
    names = (evil, '"><img src=x onerror=alert(1)>', "ok")
    content = judged(
        names,
        title=evil,
        notes=[evil],
        facts={evil: evil},
        quarantine=[(evil, evil, evil)],
        identical=[(evil, evil)],
        history=[{"epoch": 1, f"{evil}loss": 1.0}],
        settings={evil: evil},
        versions={evil: evil},
        looks=[Look(evil, evil, 3)],
    )
    page = Page(render(content))
    assert "script" not in page.names
    assert evil in page.text
    assert all(address.startswith("data:image/jpeg") for address in page.all("img", "src"))
    assert all(address.startswith("#") for address in page.all("a", "href"))


@pytest.mark.parametrize(("make", "count"), [(full, 2), (full, 13), (judged, 12), (judged, 13)])
def test_page_is_balanced_and_fetches_nothing(make, count):
    text = render(make(tuple(f"class {number}" for number in range(count))))
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & page.names
    assert all(address.startswith("data:image/") for address in page.all("img", "src"))
    assert not re.search(r"url\(|@import|https?:", text)
    assert "default-src 'none'" in text
    pictures = [address for address in page.all("img", "src") if address.startswith("data:image/png")]
    assert len(pictures) == (count > 12)


def test_report_of_almost_nothing():
    content = ReportContent("bare", {"validation": evaluated(wrong=0)})
    page = Page(render(content))
    assert "On 250 validation pictures, which also chose between settings: 100.0 % right" in page.text
    assert "None: all 250 pictures are right." in page.text
    assert not {"sure", "training", "more-data", "looks", "rows"} & set(page.ids)


def test_report_of_an_evaluation_that_was_loaded(tmp_path):
    content = judged()
    loaded = Evaluation.load(content.evaluation.save(tmp_path / "evaluation.json"))
    page = Page(render(replace(content, evaluations={"test": loaded})))
    assert "What refusing buys" in page.text
    assert page.ids.count("row-20") == 1
    assert "strangeness" not in page.text


def test_where_nothing_was_calibrated_one_diagram_is_drawn():
    content = judged()
    check = replace(content.evaluation.calibration, temperature=1.0)
    text = Page(render(replace(content, evaluations={"test": replace(content.evaluation, calibration=check)}))).text
    assert "no temperature makes that surely smaller" in text
    assert "Off by 1.2 points" in text and "Before: off" not in text and "before calibration" not in text


def test_where_the_temperature_was_set_is_said_where_it_is_known():
    text = Page(render(judged())).text
    assert "at the temperature 1.30." in text and "was set on" not in text
    known = judged(calibrated_on="90 validation pictures")
    assert "the temperature 1.30 was set on 90 validation pictures." in Page(render(known)).text
    assert to_dict(known)["calibrated_on"] == "90 validation pictures"


@pytest.mark.parametrize(
    ("changes", "there", "absent"),
    [
        ({"accepted": 0, "unsure": 250, "unlike": 0}, "answered, pictures", "right among the answered"),
        ({"precision": 0.0}, "it was asked to answer always", "the dashed line the wanted share"),
    ],
)
def test_figures_of_refusals_that_say_nothing_are_left_out(changes, there, absent):
    test = judged().evaluation
    test = replace(test, selective=replace(test.selective, **changes))
    text = Page(render(judged(evaluations={"test": test}))).text
    assert there in text and absent not in text


def test_the_curve_of_a_trained_network_is_about_its_last_layer():
    words = "The network itself has learned from all of them, so this is only about its last layer."
    assert words in Page(render(judged())).text
    assert words not in Page(render(judged(history=[]))).text


def test_a_learning_curve_without_classes_is_drawn_alone():
    content = judged()
    page = Page(render(replace(content, curve=replace(content.curve, per_class={}))))
    assert "Would more data help?" in page.text
    assert "Class by class: recall" not in page.text


def test_only_small_jpegs_become_thumbnails():
    paths = [one.path for one in evaluated().mistakes(3)]
    wrong = {paths[0]: b"<svg onload=alert(1)>", paths[1]: b"\xff\xd8\xff" + bytes(50_000)}
    page = Page(render(full(thumbnails={**wrong, paths[2]: thumbnail(np.zeros((900, 30, 3), np.uint8))})))
    assert len(set(page.all("img", "src"))) == 1


def test_long_lists_are_cut_and_counted():
    content = full(quarantine=[(f"{n}.jpg", "empty", "") for n in range(1060)], identical=[("a", "b")] * 60)
    text = Page(render(content)).text
    assert "1,060 set aside" in text
    assert "… and 1,010 more." in text
    assert "… and 10 more." in text


@pytest.mark.parametrize(("classes", "images"), [(2, 500), (120, 2000), (300, 1500)])
def test_the_budget_holds_with_the_largest_pictures_and_many_classes(classes, images):
    noise = np.random.default_rng(0).integers(0, 256, (240, 240, 3), np.uint8)
    names = tuple(f"class {number:03d} {'x' * 80}" for number in range(classes))
    content = judged(names, images=images, wrong=images // 5, picture=thumbnail(noise, 240))
    assert len(next(iter(content.thumbnails.values()))) > 30_000
    text = render(replace(content, preview=png(900, 600, noise=True)))
    assert len(text.encode()) < 5e6
    page = Page(text)
    assert len(page.all("img", "src")) > 20
    assert ("classes with a higher recall" in page.text) == (classes > 200)
    assert ("classes between" in page.text) == (classes > 40)


def test_the_data_say_what_the_page_says(tmp_path):
    content = judged()
    data = read_json(write_report_data(tmp_path / "report.json", content), "report", 1)
    test = data["evaluations"]["test"]
    assert data["main"] == "test"
    assert test["metrics"]["accuracy"]["value"] == 0.92
    assert test["metrics"]["accuracy"]["low"] == pytest.approx(0.880, abs=1e-3)
    assert test["calibration"]["ece_before"] == 0.04
    assert test["selective"]["accepted"] == 220
    assert test["sets"]["mean_size"] == 1.05
    assert data["rule"]["threshold"] == 0.8
    assert [one["name"] for one in data["baselines"]] == ["majority", "file facts", "border"]
    assert data["learning_curve"]["points"][-1]["pictures"] == 2000
    assert data["looks"][1]["by"] == "telltale evaluate"
    assert data["class_counts"]["cats"]["train"] == 1000
    assert data["pictures"][0] == {**data["pictures"][0], "verdict": "accepted", "strangeness": 1.0}
    assert [one["claim"] for one in data["verdict"]] and len(data["verdict"]) == 6
    assert "thumbnails" not in data


def test_every_number_in_the_tables_of_the_page_is_in_the_data():
    content = judged()
    page = render(content)
    known = set(_numbers(to_dict(content)))
    cells = re.findall(r'<td class="number[^"]*">([\d.,]+)', page.split('id="settings"')[0])
    assert len(cells) > 30
    for cell in cells:
        digits = len(cell.partition(".")[2])
        wanted = float(cell.replace(",", ""))
        assert any(round(one, digits) == wanted or round(100 * one, digits) == wanted for one in known), cell


def _numbers(value):
    if isinstance(value, dict):
        yield from (one for inner in value.values() for one in _numbers(inner))
        counts = [one for one in value.values() if isinstance(one, int)]
        yield from [sum(counts)] if counts and len(counts) == len(value) else []
    elif isinstance(value, list):
        yield from (one for inner in value for one in _numbers(inner))
    elif isinstance(value, int | float):
        yield value


def test_names_that_are_no_utf8_stop_neither_the_page_nor_the_data(tmp_path):
    content = full(quarantine=[("caf\udce9.jpg", "empty", "No bytes.")])
    assert "caf?.jpg" in write_report(tmp_path / "report.html", content).read_text(encoding="utf-8")
    data = read_json(write_report_data(tmp_path / "report.json", content), "report", 1)
    assert data["quarantine"][0]["path"] == "caf?.jpg"


def test_write_report_explains_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(tmp_path / "file" / "report.html", full())


def test_thumbnail_is_small():
    picture = thumbnail(np.random.default_rng(0).integers(0, 255, (1000, 2000, 3), np.uint8))
    assert len(picture) < 20_000


def test_chart_breaks_where_numbers_are_missing():
    rows = [{"epoch": n, "loss": value} for n, value in enumerate([1.0, 0.5, float("nan"), 0.4, None, 0.3])]
    chart = draw_lines("Loss", rows, ["loss"])
    assert [len(piece.split()) for piece in chart.lines[0].pieces] == [2, 1, 1]


@pytest.mark.parametrize("rows", [[], [{"epoch": 1, "loss": float("nan")}], [{"epoch": 1}]], ids=str)
def test_chart_of_nothing_is_none(rows):
    assert draw_lines("Loss", rows, ["loss"]) is None


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.13, 0.87), (2.3, 2.3), (1e-6, 3e-6), (-5, 1200), (0.98, 1.0)])
def test_ticks_are_few_and_cover(low, high):
    places = ticks(low, high)
    assert 2 <= len(places) <= 8
    assert places[0] <= low + 1e-9
    assert places[-1] >= high - 1e-9


def png(width, height, *, noise=False):
    pixels = np.full((height, width, 3), 90, np.uint8)
    if noise:
        pixels = np.random.default_rng(0).integers(0, 256, pixels.shape, np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The page of a report with everything in it."""
    return write_report(tmp_path_factory.mktemp("report") / "report.html", judged(("cats", "dogs", "x" * 70)))


def test_a_browser_shows_evil_names_without_a_word_and_asks_nobody(tmp_path, chromium, asked):
    paths, where = asked
    image = f'<img src="{where}/a.png" onerror="console.error(1)">'
    script = f"</style><script src='{where}/b.js'></script>"
    content = judged((image, script, "c"), title=script, notes=[image, script], facts={image: script})
    report = write_report(tmp_path / "report.html", content)
    log = chromium(report, tmp_path / "profile", "--dump-dom")
    assert "CONSOLE" not in log.stderr
    assert "What refusing buys" in log.stdout
    assert paths == []


@pytest.mark.parametrize("width", [320, 1100])
def test_nothing_is_wider_than_the_window(overhang, written, width):
    assert overhang(written, width) == 0


def test_the_keyboard_reaches_every_link_in_the_order_of_the_page(in_frame, written):
    # What Tab goes through: elements with an index of 0 or more, in their order, none of them hidden.
    script = """
    const links=[...d.querySelectorAll('a')], w=f.contentWindow;
    const reached=links.filter(a=>{a.focus();return d.activeElement===a&&a.tabIndex===0&&a.offsetParent!==null});
    const outlined=links.filter(a=>{a.focus({focusVisible:true});return w.getComputedStyle(a).outlineStyle!=='none'});
    const odd=[...d.querySelectorAll('[tabindex]')].filter(e=>e.tabIndex>0);
    return links.length>60&&odd.length===0&&outlined.length===links.length?links.length-reached.length:-1"""
    assert in_frame(written, 1100, script) == 0


def test_the_row_that_was_linked_to_is_marked(in_frame, written):
    script = """
    const row=d.getElementById('row-3'), look=()=>f.contentWindow.getComputedStyle(row).outlineStyle;
    const before=look(); d.querySelector('a[href="#row-3"]').click();
    return before==='none'&&look()!=='none'?1:0"""
    assert in_frame(written, 1100, script) == 1


def test_light_and_dark_and_on_paper(screenshot, chromium, written, tmp_path):
    light = screenshot(written, "--blink-settings=preferredColorScheme=1")
    dark = screenshot(written, "--blink-settings=preferredColorScheme=0")
    assert np.median(light) > 240 and np.median(dark) < 40
    assert light.std() > 20 and dark.std() > 20
    paper = tmp_path / "report.pdf"
    chromium(written, tmp_path / "profile", f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes())) <= 20


@pytest.mark.parametrize("lowest", [0.0, 0.07, 0.31, 0.38, 0.52, 0.74, 0.93])
def test_the_axes_of_the_reliability_diagram_are_labelled_in_even_steps(lowest):
    bins = (
        Bin(max(lowest, 0.5), 0.9, 0.8, Interval(0.8, lowest, 0.95), 50),
        Bin(0.9, 1.0, 0.97, Interval(0.98, 0.95, 1.0), 200),
    )
    for plot in draw_reliability(CalibrationCheck(1.2, 0.02, Interval(0.01, 0.0, 0.03), bins, bins)):
        for marks in (plot.across, plot.up):
            values, places = [float(tick.text) for tick in marks], [tick.place for tick in marks]
            scale = [
                (b - a) / (y - x)
                for (a, b), (x, y) in zip(itertools.pairwise(places), itertools.pairwise(values), strict=True)
            ]
            assert scale == pytest.approx([scale[0]] * len(scale), abs=0.02)
            assert values[0] <= 100 * lowest + 1e-6
