"""The report as its reader gets it: whole, of its own, and with nobody's text as markup."""

import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyrm.errors import UserError
from tinyrm.evaluate import evaluate
from tinyrm.evaluate.report import make_report
from tinyrm.evaluate.report.pages import _plain, _quoted
from tinyrm.evaluate.saved import describe, save

SCRIPT = "<script>alert(1)</script> & | `x` \\ **bold**"
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Elements, ids, references and text of a page, which must be well nested."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.ids, self.references, self.open, self.text = [], [], [], [], ""
        self.feed(html)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        named = dict(attributes)
        self.ids += [named["id"]] if "id" in named else []
        self.references += [v for k, v in attributes if k in ("href", "xlink:href", "src", "action", "data", "poster")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def measured(tmp_path, parquet):
    """`measured(judge, name)`: a folder with a judge's evaluation on rows of three subsets."""

    def measure(judge, name, rows=30, prompt="why {}?", folder=None, **more):
        path = parquet(
            [
                {
                    "prompt": prompt.format(i),
                    "chosen": f"a good answer {i}",
                    "rejected": f"a poor, long and winding answer {SCRIPT} {i}",
                    "subset": "abc"[i % 3],
                }
                for i in range(rows)
            ],
            f"rows{rows}.parquet",
        )
        found = evaluate(judge, path)
        target = tmp_path / (folder or name)
        target.mkdir(exist_ok=True)
        save(target, found, describe(found, {"name": name, "sha256": name.ljust(64, "0")}, **more))
        return target

    return measure


def test_a_report_stands_on_its_own(measured, truth, always_a):
    cost = {"gflops_per_response": 6.0, "gflops_per_token": 0.02, "tokens_per_response": 300}
    report = make_report([measured(truth, "knows"), measured(always_a, "guesses", cost=cost)])
    page = Page(report.html)
    assert all(reference.startswith("#") for reference in page.references)
    assert {reference[1:] for reference in page.references} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert not re.search(r"url\((?!#)|@import", report.html)
    assert page.tags.count("svg") == 5
    assert "knows minus guesses, paired" in page.text
    assert "100.0%" in page.text


def test_text_of_rows_is_never_markup(measured, always_a):
    report = make_report([measured(always_a, SCRIPT, folder="x", prompt=SCRIPT + " {}")], title=SCRIPT, mistakes=3)
    page = Page(report.html)
    assert "script" not in page.tags
    assert SCRIPT in page.text
    quoted = [line for line in report.markdown.splitlines() if "<script" in line or "**bold**" in line]
    assert quoted
    assert all(line.startswith("    ") for line in quoted)


def test_the_same_runs_make_the_same_page(measured, truth, always_a):
    folders = [measured(truth, "knows"), measured(always_a, "guesses")]
    assert make_report(folders) == make_report(folders)


def test_mistakes_are_the_surest_wrong_verdicts(measured, judge_by):
    wrong = judge_by(lambda prompt, a, b: 0.1 if "good" in a else 0.9)
    folder = measured(wrong, "contrary")
    report = make_report([folder], mistakes=2)
    assert "30 verdicts were wrong" in report.markdown
    assert report.markdown.count("Labelled better, given 10.0%") == 2
    assert "winding" not in make_report([folder], mistakes=0).html


def test_a_report_is_made_where_the_rows_are_gone(measured, always_a, tmp_path):
    folder = measured(always_a, "guesses")
    (tmp_path / "rows30.parquet").unlink()
    report = make_report([folder])
    assert "Their texts cannot be shown" in report.html
    assert "95% interval" in report.html


def test_other_rows_are_another_part(measured, truth, always_a):
    report = make_report([measured(truth, "knows"), measured(always_a, "guesses", rows=33)])
    assert [line for line in report.markdown.splitlines() if line.startswith("## ")] == [
        "## rows30.parquet",
        "## rows33.parquet",
    ]
    assert "minus" not in report.markdown


def test_two_models_of_one_name_are_told_apart(measured, truth, always_a):
    one, other = measured(truth, "same", folder="one"), measured(always_a, "same", folder="other")
    facts = json.loads((other / "evaluation.json").read_text())
    facts["model"]["sha256"] = "beef" * 16
    (other / "evaluation.json").write_text(json.dumps(facts))
    assert "same (beefbeef)" in make_report([one, other]).markdown
    with pytest.raises(UserError, match="is given twice"):
        make_report([one, one])


def test_one_model_measured_in_two_ways_is_told_apart(measured, truth, always_a):
    one, other = measured(truth, "same", folder="one"), measured(always_a, "same", folder="other")
    assert "same, one" in make_report([one, other]).markdown
    facts = json.loads((other / "evaluation.json").read_text())
    (other / "evaluation.json").write_text(json.dumps(facts | {"protocol": "pair"}))
    report = make_report([one, other]).markdown
    assert "same (pair)" in report
    assert "both responses in one context" in report


def test_mistakes_of_rows_with_one_id_show_their_own_texts(judge_by, tmp_path):
    rows = tmp_path / "rows"
    rows.mkdir()
    for language in ("de", "en"):
        lines = [
            {"id": i, "prompt": f"{language} {i}?", "chosen": f"{language} good", "rejected": "x", "subset": "a\u2028b"}
            for i in range(3)
        ]
        (rows / f"{language}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    wrong_on_de = judge_by(lambda prompt, a, b: 0.1 if ("good" in a and "de" in a) or "en" in b else 0.9)
    found = evaluate(wrong_on_de, rows)
    save(tmp_path / "run", found, describe(found, {"name": "m"}))
    report = make_report([tmp_path / "run"], mistakes=3)
    assert "de 1?" in report.markdown
    assert "en 1?" not in report.markdown


def test_names_are_neither_tex_nor_lost(measured, truth, tmp_path):
    folder = measured(truth, r"$\foo$ [/INST]", folder="x")
    text = (folder / "evaluation.json").read_text()
    name = json.loads(text)["scores"][0]["name"]
    (folder / "evaluation.json").write_text(text.replace(json.dumps(name), json.dumps(r"$\frac$")))
    assert r"$\foo$ [/INST]" in Page(make_report([folder]).html).text


def test_a_subset_that_a_judge_left_nothing_of_is_blank(measured, truth, always_a):
    one, other = measured(truth, "knows"), measured(always_a, "guesses")
    facts = json.loads((other / "evaluation.json").read_text())
    del facts["subsets"][1]
    (other / "evaluation.json").write_text(json.dumps(facts))
    assert "knows" in make_report([one, other]).markdown


def test_what_is_no_report_is_not_written_over(measured, truth, tmp_path):
    report = make_report([measured(truth, "knows")])
    html, markdown = report.write(tmp_path / "new" / "r.html")
    assert report.write(html) == (html, markdown)
    markdown.write_text("my notes")
    with pytest.raises(UserError, match="no report of tinyrm"):
        report.write(html)
    assert markdown.read_text() == "my notes"
    with pytest.raises(UserError, match="html"):
        report.write(tmp_path / "r.pdf")
    with pytest.raises(UserError, match="no evaluation"):
        make_report([tmp_path])


@settings(max_examples=60)
@given(st.text())
def test_nothing_breaks_out_of_a_plain_or_a_quotation(text):
    plain = _plain(text)
    assert len(plain.splitlines()) < 2
    assert "<" not in plain
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`*_\[]", plain)
    assert all(line.startswith("    ") for line in _quoted(text).split("\n"))
