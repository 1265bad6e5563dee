"""The page in a browser: every plot drawn, nothing on the console, fit for a phone."""

from __future__ import annotations

import json
import re

import browser
import pytest
from test_page import FIGURES

LOOK = """
  const plots = Array.from(document.querySelectorAll('.plot')).map((plot) => ({
    id: plot.id, drawn: plot.dataset.drawn,
    marks: plot.querySelectorAll('.main-svg .point, .main-svg .js-line, .main-svg .js-fill, .main-svg image').length,
    over: plot.querySelector('.main-svg').getBoundingClientRect().right - plot.getBoundingClientRect().right,
  }));
  const pictures = Array.from(document.images).map((image) => image.complete && image.naturalWidth > 0);
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  say(JSON.stringify({plots, wide, pictures: pictures.length, broken: pictures.filter((whole) => !whole).length}));
"""

ACT = """
  const raster = document.getElementById('raster');
  const colour = () => document.querySelector('#loss .xtick text').style.fill;
  const before = colour();
  document.querySelectorAll('.choices button')[2].click();
  document.querySelector('.theme').click();
  setTimeout(() => say(JSON.stringify({shown: raster.data.map((trace) => trace.visible), before, after: colour(),
    names: Array.from(document.querySelectorAll('#by-class .ytick text')).map((t) => t.textContent)})), 1000);
"""


@pytest.fixture(scope="module")
def desktop(require, page, tmp_path_factory):
    require(browser.CHROMIUM is not None, "Chromium")
    return browser.visit(page, tmp_path_factory.mktemp("profile"), script=LOOK + ACT)


@pytest.fixture(scope="module")
def phone(require, page, tmp_path_factory):
    require(browser.CHROMIUM is not None, "Chromium")
    return browser.visit(page, tmp_path_factory.mktemp("profile"), script=LOOK, width=400)


@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_every_plot_is_drawn_without_a_word_on_the_console(device, request):
    seen = request.getfixturevalue(device)
    assert seen.console == []
    found = json.loads(seen.said[0])
    assert {plot["id"] for plot in found["plots"]} == FIGURES
    assert [plot for plot in found["plots"] if plot["drawn"] != "yes" or plot["marks"] == 0] == []
    # four chosen images above the raster, four above the maps, and their maps
    assert found["pictures"] >= 12 and found["broken"] == 0
    assert found["wide"] <= 0 and max(plot["over"] for plot in found["plots"]) <= 1


def test_choosing_an_image_shows_its_raster_and_a_theme_recolours_the_plots(desktop):
    found = json.loads(desktop.said[1])
    assert found["shown"] == [False, False, True, False]
    assert re.match(r"rgb\(", found["before"]) and found["before"] != found["after"]
    # a class name from outside is shown letter by letter
    assert "</script><b>bag & 'boot'</b>" in found["names"]
