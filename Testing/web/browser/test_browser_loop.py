"""The whole work in the page: open, draw with the mouse, train, look, suggest, accept, undo, download."""

import re

import numpy as np
import pytest
from web_cases import WebCase, dice, left_ventricle, saved_mask
from web_page import WebPage, draw

STEP = re.compile(r"step (\d+) of (\d+)")
VISIBLE = 12
"""A difference in colour that anybody sees, of 255."""


@pytest.mark.slow
def test_loop_on_a_phantom_painted_with_the_brush(tab, phantom, tmp_path):
    run_loop(tab, phantom, "paint", tmp_path, pictures="phantom")


@pytest.mark.slow
@pytest.mark.data
def test_loop_on_a_real_volume_outlined_with_the_mouse(tab, data_dir, tmp_path):
    run_loop(tab, left_ventricle(data_dir), "draw", tmp_path, pictures="heart")


def run_loop(tab: WebPage, case: WebCase, tool: str, folder, pictures: str) -> None:
    tab.picture("01-open")
    tab.upload("volume", case.path)
    assert tab.text("data-error") == ""
    tab.wait(lambda: not tab("train").is_enabled() and tab.text("status"), "what to do first")
    tab.picture(f"{pictures}-02-volume")
    draw(tab, case, tool)
    assert tab.rows() == list(case.drawn)
    tab.picture(f"{pictures}-03-drawn")

    hidden = next(index for index in range(case.geometry.shape[0]) if index not in case.drawn and index > case.drawn[0])
    tab.view.go_to(case.offset(hidden), case.geometry.spacing[2])
    before = tab.view.pixels()
    steps = train(tab, "fast", f"{pictures}-04-training")
    assert len(set(steps)) > 3, f"the progress does not move: {steps}"
    tab.picture(f"{pictures}-05-result")
    check_overlay(tab, case, hidden, before)
    check_uncertainty(tab)

    tab.press("suggest")
    said = re.match(r"Slice (\d+) \(", tab("suggestion").inner_text())
    assert said, tab.text("suggestion")
    suggested = int(said[1]) - 1
    assert suggested not in case.drawn
    tab.wait(lambda: abs(tab.view.offset - case.offset(suggested)) < 0.1, "the suggested slice")
    tab.picture(f"{pictures}-06-suggested")

    tab.press("accept-slice")
    tab.wait(lambda: suggested in tab.rows(), "the accepted slice")
    tab.press("undo")
    tab.wait(lambda: tab.rows() == list(case.drawn), "the list as it was")
    tab.press("accept-all")
    tab.wait(lambda: set(tab.rows()) > {*case.drawn, suggested}, "the accepted slices")
    tab.picture(f"{pictures}-07-accepted")

    assert tab.asks_before_leaving()
    found = saved_mask(tab.download("export", folder), case.geometry)
    tab.wait(lambda: not tab.has_unsaved(), "the page that can be left without a question")
    tab.picture(f"{pictures}-08-exported")
    for index in case.drawn:
        assert dice(found[index], case.truth[index]) > 0.9, f"slice {index} is not as it was drawn"
    assert dice(found, case.truth) > case.dice


def train(tab: WebPage, preset: str, picture: str) -> list[str]:
    """Train to the end; returns what the status said of the steps."""
    tab.train(preset)
    said: list[str] = []

    def ended() -> bool:
        step = STEP.search(tab.text("status"))
        if step and (not said or said[-1] != step[0]):
            said.append(step[0])
            if len(said) == 4:
                assert tab("progress").get_attribute("aria-valuenow") != "0"
                tab.picture(picture)
        return bool(tab("train").count())

    tab.wait(ended, "the end of the training", seconds=150)
    assert tab.text("status").startswith("Done"), tab.text("status")
    assert tab.text("error") == ""
    return said


def check_overlay(tab: WebPage, case: WebCase, index: int, before: np.ndarray) -> None:
    """The view shows the prediction where the structure is, and the image as it was where it is not."""
    change = np.abs(tab.view.pixels() - before).max(axis=2)
    inside = tab.view.mask(case.truth[index], case.geometry)
    assert np.mean(change[inside] > VISIBLE) > 0.7, "the prediction is not seen"
    assert np.mean(change[~inside] > VISIBLE) < 0.25, "the prediction is seen everywhere"
    tab("show-prediction").locator("input").uncheck()
    tab("show-uncertainty").locator("input").uncheck()
    tab.wait(lambda: np.abs(tab.view.pixels() - before).mean() < 2, "the image without the prediction")
    tab("show-prediction").locator("input").check()
    tab.wait(lambda: np.abs(tab.view.pixels() - before)[inside].mean() > VISIBLE / 2, "the prediction once more")


def check_uncertainty(tab: WebPage) -> None:
    """The colours of the uncertainty come and go with their switch."""
    without = tab.view.pixels()
    tab("show-uncertainty").locator("input").check()
    tab.wait(lambda: np.abs(tab.view.pixels() - without).max() > 4 * VISIBLE, "the uncertainty")
    tab("show-uncertainty").locator("input").uncheck()
    tab.wait(lambda: np.abs(tab.view.pixels() - without).mean() < 2, "the view without the uncertainty")
