from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.plots.dataset import class_balance, plain
from core.plots.report import experiment_report, pipeline_report
from core.plots.report_numbers import axis_over, interval_text, number, p_text, signed
from core.plots.report_pictures import LARGEST, pictures
from core.plots.report_wording import group_statement, headline
from tests.unit.plots import report_samples as samples

VOID = {"meta", "img", "line", "circle", "br"}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "{{ 7 * 7 }}{% raw %}",
    "naevus' onload='x",
    "$\\frac{1}{0}$",
    "\u202eevil \x00 name",
)


class Page(HTMLParser):
    """Collects tags, attributes and text; fails on a tag that is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += f"{data} "


def whole(names: tuple[str, ...] = samples.NAMES, word: str = "helps", **changes: Any) -> str:
    made = samples.synthesis(names)
    dataset = samples.dataset(names)
    sizes = {c["name"]: c["count"] for c in dataset["classes"]}
    parts: dict[str, Any] = {
        "dataset": dataset,
        "synthesis": made,
        "verdict": samples.verdict(word, names),
        "quality": samples.quality(names),
        "projection": {"method": "pca", "points": 2345, "explained_variance": [0.31, 0.12]},
        "figures": {
            "class_balance.png": class_balance(sizes, made["per_class"]),
            "contact_sheet.png": samples.png(),
            "pca_by_class.png": samples.png(),
            "pca_by_source.png": samples.png(),
            "confusion_real.png": samples.png(),
            "confusion_combined.png": samples.png(),
            "arms.png": samples.png(),
        },
        "provenance": {"Settings": {"seed": 0, "backbone sha256": "c3" * 32}},
    }
    return pipeline_report(**(parts | changes))


def test_page_is_self_contained() -> None:
    page = Page(whole())
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith("data:image/")
    assert page.tags.count("img") == 7
    assert not re.search(r"url\(|@import|https?://", whole())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    names = (name, "melanoma")
    for html in (
        whole(names, dataset=samples.dataset(names) | {"dataset_name": name, "licence": name}),
        experiment_report(
            verdict=samples.verdict("helps", names) | {"warnings": [name]},
            dataset=samples.dataset(names),
            figures={f"confusion_{name}.png": samples.png()},
            tables={name: {name: name}, "rows": [{name: name}]},
        ),
    ):
        page = Page(html)
        assert not {"script"} & set(page.tags)
        assert not any(n.startswith("on") for _, n, _ in page.attributes)
        assert {v for t, n, v in page.attributes if (t, n) == ("img", "src")} != {"x"}
        assert name.replace("\x00", "\ufffd") in page.text.replace("\x00", "\ufffd")


def test_headline_helps_names_the_best_remedy() -> None:
    primary = samples.verdict("helps")["primary"]
    assert headline(primary) == (
        "Synthetic images help: +0.060 balanced accuracy over the best remedy without synthesis, "
        "plain augmentation (95 % interval +0.030 to +0.090)."
    )


def test_headline_without_evidence_says_what_could_have_been_seen() -> None:
    primary = samples.verdict("no_evidence")["primary"]
    text = headline(primary)
    assert (
        "but not than class weights, logit adjustment, oversampling or plain augmentation" in text
    )
    assert "the smallest difference this dataset could have shown is 0.043." in text
    primary["comparisons"] = [primary["comparisons"][-1] | {"comparator": "real"}]
    assert headline(primary).startswith("No evidence that synthetic images help: 0.000 balanced")


@pytest.mark.parametrize(("sign", "word"), [(1, "help"), (-1, "hurt")])
def test_headline_says_when_only_classes_of_few_groups_show_it(sign: int, word: str) -> None:
    ends = sorted((sign * 0.02, sign * 0.08))
    primary = {
        "verdict": "no_evidence",
        "comparisons": [{"comparator": "real", "difference": sign * 0.05, "interval": ends}],
        "well_tested": {
            "classes": ["nv", "mel"],
            "comparisons": [
                {"comparator": "real", "difference": 0.004, "interval": [-0.02, 0.03]},
            ],
        },
    }
    text = headline(primary)
    assert text.startswith(f"No evidence that synthetic images {word}: over all classes ")
    assert "over the classes with enough test groups alone (nv, mel) it is not shown" in text
    assert "(95 % interval −0.020 to +0.030)" in text


def test_headline_hurts_and_not_estimable() -> None:
    assert headline(samples.verdict("hurts")["primary"]).startswith("Synthetic images hurt: −0.040")
    assert headline(samples.empty_verdict()["primary"]).endswith(
        ": class 'b' has 1 group, 2 folds need 2."
    )
    assert "cannot be estimated" in headline({})


def test_legacy_numbers_stand_beside_the_honest_ones_and_are_marked() -> None:
    text = " ".join(Page(whole()).text.split())
    assert "not a valid estimate" in text
    assert "Published, not comparable" in text
    row = text[text.index("Combined 0.760") :]
    assert row.startswith("Combined 0.760 0.660 (0.629 to 0.689) 0.880 0.850 94.12 %")
    verdict = samples.verdict() | {"legacy_protocol": None}
    assert "not a valid estimate" not in whole(verdict=verdict)


def test_invalid_arms_are_grey_last_and_say_why() -> None:
    html = whole()
    text = Page(html).text
    assert "Not valid: version was made by this generator" in text
    assert html.index("Not valid: version") > html.index("random forest (exploratory)")


def test_quality_shows_n_floor_and_why_it_is_not_estimable() -> None:
    text = " ".join(Page(whole()).text.split())
    assert "n = 400" in text
    assert "floor 41.2" in text
    assert text.count("n is not above the feature dimension 1280") == 1
    assert "FID only with the Inception weights" in text


def test_methods_hold_hashes_settings_and_limits() -> None:
    text = Page(whole()).text
    for needed in ("a1" * 32, "f0" * 32, "b2" * 32, "c3" * 32, "5 folds × 3 seeds", "not tuned"):
        assert needed in text
    assert "not a medical device" in text
    assert "cannot be excluded" in text


def test_nothing_known_is_said_plainly() -> None:
    empty = samples.empty_verdict()
    html = pipeline_report(
        dataset={"classes": []},
        synthesis={},
        verdict=empty,
        quality=[],
        projection={},
        figures={},
        provenance={},
    )
    text = Page(html).text
    assert "Not estimable" in text
    assert "No arm could be scored." in text
    Page(experiment_report(verdict={}, dataset={}, figures={}, tables={}))


def test_forty_long_classes_fit_in() -> None:
    names = tuple(f"class {i} " + "unbroken" * 20 for i in range(40))
    text = Page(whole(names, "no_evidence")).text
    assert all(name in text for name in names)


def test_doses_seeds_subgroups_and_limits_are_told() -> None:
    text = " ".join(Page(whole()).text.split())
    assert "Knee: 0.5 synthetic images per real image" in text
    assert "the best one (2.0)" in text
    assert text.count("−0.061 to +0.083") == len(samples.REMEDIES)
    assert "female 812 640 2 +0.100 +0.040 to +0.160" in text
    assert "male fewer than two classes have 20 test groups here 812 640 0 – –" in text
    assert "All 120 images with dx_type “follow_up” are of one class." in text


def test_a_knee_at_none_says_so() -> None:
    verdict = samples.verdict()
    verdict["exploratory"]["knee"]["ratio"] = 0.0
    text = Page(whole(verdict=verdict)).text
    assert "No dose can be told from none" in text
    verdict["exploratory"]["knee"] = None
    assert "Knee:" not in Page(whole(verdict=verdict)).text


def test_threshold_effect_is_a_warning() -> None:
    verdict = samples.verdict()
    verdict["primary"]["threshold_effect_possible"] = True
    assert "Threshold effect possible" in whole(verdict=verdict)
    assert "Threshold effect possible" not in whole()


def test_many_warnings_leave_the_headline_readable() -> None:
    warnings = [f"note number {i}" for i in range(9)]
    html = whole(verdict=samples.verdict() | {"warnings": warnings})
    assert all(html.count(warning) == 1 for warning in warnings)
    assert html.count('class="warning"') == 4
    assert "6 further notes" in html


def test_legacy_copies_in_the_real_set_are_said() -> None:
    verdict = samples.verdict()
    verdict["legacy_protocol"]["real_is_augmented"] = True
    assert "held augmented copies" in whole(verdict=verdict)
    assert "held augmented copies" not in whole()


def test_augment_as_treatment_is_said() -> None:
    verdict = samples.verdict()
    verdict["settings"]["generator_augment_is_treatment"] = True
    assert "no comparator" in whole(verdict=verdict)
    assert "no comparator" not in whole()


@pytest.mark.parametrize(
    ("basis", "expected"),
    [("patient", "Groups are patients"), ("lesion", "names no patients"), ("image", "neither")],
)
def test_group_basis_says_what_cannot_be_excluded(basis: str, expected: str) -> None:
    assert expected in group_statement(basis)


def test_large_pictures_are_made_smaller_and_no_picture_is_dropped_silently() -> None:
    noise = samples.noise_png()
    assert len(noise) > LARGEST
    found = pictures({"noise.png": noise, "small.png": samples.png(), "text.png": b"no picture"})
    assert set(found) == {"noise", "small"}
    assert found["noise"].uri.startswith("data:image/jpeg;base64,")
    assert found["small"].uri.startswith("data:image/png;base64,")
    assert len(found["noise"].uri) < len(noise)


def test_class_balance_is_deterministic_and_literal() -> None:
    real = {"$x^$": 5, "a\nb": 3, "皮膚": 2, **{f"c{i}": i for i in range(70)}}
    assert class_balance(real, {"c1": 4}) == class_balance(real, {"c1": 4})
    assert class_balance({}, {})[:4] == b"\x89PNG"
    assert class_balance({"a": 1}) != class_balance({"a": 2})


def test_plain_names() -> None:
    assert plain("a\n\tb\x00") == "a  b"
    assert plain("\u202e") == "?"
    assert len(plain("x" * 500)) == 30


def test_numbers() -> None:
    assert number(0.12345) == "0.123"
    assert number(-0.5) == "−0.500"
    assert number(-0.0) == "0.000"
    assert number(None) == number(float("nan")) == number("x") == number(True) == "–"
    assert number(131.19) == "131.2"
    assert number(0.00001) == "1.00e−05"
    assert signed(0.5) == "+0.500"
    assert interval_text([-0.1, 0.2], with_sign=True) == "−0.100 to +0.200"
    assert interval_text([None, 0.2]) == "–"
    assert (p_text(0.0002), p_text(0.5), p_text(None)) == ("< 0.001", "0.500", "–")


numbers = st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=150, deadline=None)
@given(st.lists(numbers, max_size=6), st.none() | st.floats(-1e8, 1e8))
def test_bars_stay_inside_their_picture(values: list[float], reference: float | None) -> None:
    axis = axis_over(values, reference)
    assert axis.low < axis.high
    assert len(axis.ticks) <= 5
    for value in values:
        bar = axis.bar(value, [value, value])
        assert bar is None or 4 <= bar.x <= 156
