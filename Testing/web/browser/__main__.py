"""``python Testing/web/browser FOLDER``: pictures of the page on the demo's brain MR, for the documentation."""

import io
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright
from web_page import WebPage
from web_server import WebServer

from conftest import SIZE, launch
from sslseg.annotation import IGNORE
from sslseg.demo import load_brain
from sslseg.labelmap_io import write_labels
from sslseg.volume import write_volume

COLORS = 256
"""So many are enough for a grey image and a few segments, and make a picture a third as large."""

ABOVE_MM, BETWEEN_MM = 98.0, -14.0
"""Where slices lie: one above the brain, and one between two that are annotated."""


def main(folder: Path) -> None:
    """Draw all pictures."""
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        image, drawing = _files(Path(made))
        server = WebServer(Path(made), str(image), str(drawing))
        browser = launch(playwright)
        try:
            page = WebPage(browser.new_context(viewport=SIZE), server.url).open()
            _work(page, folder)
        finally:
            browser.close()
            server.stop()


def _files(folder: Path) -> tuple[Path, Path]:
    """The image, and a drawing of grey and white matter on three slices of it."""
    brain = load_brain()
    image, drawing = folder / "Brain.nrrd", folder / "Tissue.seg.nrrd"
    write_volume(brain.volume, image)
    labels = np.where(brain.annotation.labels == IGNORE, 0, brain.annotation.labels)
    write_labels(labels, brain.volume.geometry, brain.reference.segments, drawing)
    return image, drawing


def _work(page: WebPage, folder: Path) -> None:
    page.wait(lambda: len(page.rows()) == 3, "the drawing")
    drawn = page.rows()
    page.view.go_to(ABOVE_MM, 2.0)
    page.press("mark-empty")
    page.wait(lambda: len(page.rows()) == 4, "the empty slice")
    page(f"jump-{drawn[1]}").click()
    page.wait(lambda: page.view.offset < ABOVE_MM, "the annotated slice")
    _keep(page, folder / "web-annotated.png")
    page.train("fast")
    page.wait(lambda: "Fine-tuning" in page.text("status"), "the training", seconds=300)
    page.view.go_to(BETWEEN_MM, 2.0)
    _keep(page, folder / "web-training.png")
    page.wait(lambda: page("train").count(), "the result", seconds=300)
    page("show-uncertainty").locator("input").uncheck()
    page.press("suggest")
    page("suggestion").wait_for()
    page("volume-select").scroll_into_view_if_needed()
    _keep(page, folder / "web-result.png")
    page("export").scroll_into_view_if_needed()
    _keep(page, folder / "web-export.png")


def _keep(page: WebPage, path: Path) -> None:
    page.page.mouse.move(2, 2)
    page.page.wait_for_timeout(1000)
    page.view.settle()
    shot = Image.open(io.BytesIO(page.page.screenshot())).convert("RGB")
    shot.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
