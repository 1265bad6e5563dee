"""The page: complete, self-contained, escaped, and clear about what is missing."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser

import pytest
from synthetic_run import HOSTILE, write_log

from spikedrive.errors import DataError
from spikedrive.reports import write_report

FIGURES = {
    "loss", "accuracy-curve", "firing-rate", "learning-rate", "confusion", "by-class", "firing", "raster", "membranes",
    "operations", "energy", "tables",
}  # fmt: skip


class Page(HTMLParser):
    """Addresses, ids and text outside of scripts."""

    def __init__(self, page):
        super().__init__()
        self.addresses, self.ids, self.text, self._script, self.plots = [], [], "", False, []
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self._script = tag in ("script", "style")
        self.addresses += [found[key] for key in ("src", "href", "srcset", "action") if key in found]
        self.ids += [found["id"]] if "id" in found else []
        self.plots += [found["id"]] if found.get("class") == "plot" else []

    def handle_endtag(self, tag):
        self._script = False

    def handle_data(self, data):
        self.text += "" if self._script else data + " "


def test_every_figure_is_there_and_names_its_file(run):
    started = time.process_time()
    path = write_report(run)
    assert time.process_time() - started < 5 and path == run / "report.html"
    assert path.stat().st_size < 8e6
    page = Page(path)
    assert set(page.plots) == FIGURES and len(page.ids) == len(set(page.ids))
    text = path.read_text("utf-8")
    for name in ("log.jsonl", "predictions.npz", "activity.npz", "audit.json", "audit_trained.json", "verify.json",
                 "environment.json", "recipe.json"):  # fmt: skip
        assert f'From <a href="{name}">' in text


def test_the_page_needs_nothing_else(page):
    local = {path.relative_to(page.parent).as_posix() for path in page.parent.rglob("*")}
    outside = [a for a in Page(page).addresses if not a.startswith(("data:", "#")) and a not in local]
    assert outside == []
    text = page.read_text("utf-8")
    assert text.count("plotly.js v") == 1 and "@import" not in text and "url(http" not in text


def test_the_head_says_what_people_look_for(page):
    text = " ".join(Page(page).text.split())
    for words in (
        "meta_spikeformer_nano", "seed 3", "379,466", "additive · analog first layer: stem", "83.33 % of 6 test images",
        "Accuracy, fp32 100.00 %", "16.67 pt", "all equal 55 k integers compared", "641 nJ", "1 min 23 s",
        "Verdict: hybrid", "2 operations multiply elsewhere", "blocks/conv.py:12", "Horowitz",
        "engine, CPU 500 ms 12", "PyTorch, cpu, 1 x 2 threads 1 min 23 s 65",
    ):  # fmt: skip
        assert words in text, words


def test_names_from_outside_stay_text(page):
    raw = page.read_text("utf-8")
    assert HOSTILE in Page(page).text
    assert HOSTILE not in raw and "<b>bag" not in raw
    # inside the figures, where the browser reads JSON
    for found in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', raw, re.S):
        json.loads(found)


def test_a_run_that_was_only_trained_says_what_to_do_next(run):
    for name in ("audit.json", "audit_trained.json", "verify.json", "predictions.npz", "activity.npz"):
        (run / name).unlink()
    page = Page(write_report(run))
    assert set(page.plots) == {"loss", "accuracy-curve", "firing-rate", "learning-rate"}
    text = " ".join(page.text.split())
    assert f"Make it with spikedrive audit {run} --fused --out {run / 'audit.json'}" in text
    assert text.count("is not there yet") == 6 and "not audited yet" in text
    assert "Accuracy, validation 80.00 %" in text


def test_a_model_that_multiplies_is_marked(run):
    (run / "audit_trained.json").rename(run / "audit.json")
    raw = write_report(run).read_text("utf-8")
    assert '<span class="verdict warn">hybrid: 2 operations multiply</span>' in raw


def test_damaged_files_stop_the_report_and_keep_the_last_one(run):
    before = write_report(run).read_bytes()
    for name in ("audit.json", "verify.json", "log.jsonl", "activity.npz", "predictions.npz", "metrics.json"):
        whole = (run / name).read_bytes()
        (run / name).write_bytes(whole[: len(whole) // 2].rstrip(b"\n") + b"\n")
        with pytest.raises(DataError, match=rf"{re.escape(name)} .*Write it again"):
            write_report(run)
        (run / name).write_bytes(whole)
    assert (run / "report.html").read_bytes() == before


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"has no recipe\.json; the folder of a run is accepted"):
        write_report(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        write_report(tmp_path / "nowhere")


def test_the_same_files_give_the_same_page(run):
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


def test_one_epoch_is_enough(run):
    write_log(run / "log.jsonl", epochs=1, steps=5)
    assert write_report(run).is_file()
