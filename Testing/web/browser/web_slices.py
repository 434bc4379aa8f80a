"""A slice view in the page: where the patient is in it, and a hand on the mouse."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from playwright.sync_api import Page

from sslseg.geometry import Geometry

STEP_MS = 40
"""Between two moves of the mouse: a hand is no faster."""

STILL_MS = 700
"""A view that has sent no frame for so long has nothing more to show."""

EDGE = 56
"""Pixels at the edges of a view that buttons and the slider lie in."""

_WATCH = """
image => {
  if (image.last === undefined) {
    image.last = performance.now();
    image.addEventListener("load", () => { image.last = performance.now(); });
  }
}
"""

_TIME_TURNS = """
([image, slider]) => {
  const area = image.closest(".remote-controlled-area");
  const place = () => slider.getAttribute("aria-valuenow");
  let begin, before;
  const turned = () => { begin = performance.now(); before = place(); };
  const drawn = () => {
    if (begin === undefined || place() === before) return;
    area.turns.push(performance.now() - begin);
    begin = undefined;
  };
  area.turns = [];
  area.addEventListener("wheel", turned, { capture: true });
  image.addEventListener("load", drawn);
  return () => {
    area.removeEventListener("wheel", turned, { capture: true });
    image.removeEventListener("load", drawn);
    return area.turns;
  };
}
"""


class SliceView:
    """One of the views of the page.

    Args:
        page: Playwright's.
        number: its place in the page; the large one is the first.
    """

    def __init__(self, page: Page, number: int) -> None:
        self._page = page
        self._area = page.locator(".remote-controlled-area").nth(number)
        self._image = self._area.locator("img.image-display-area")
        self._slider = page.locator(".slice-slider").nth(number).locator("[role=slider]")
        self._image.evaluate(_WATCH)

    @property
    def offset(self) -> float:
        """Where the slice lies, as the slider says: mm."""
        return float(self._slider.get_attribute("aria-valuenow"))

    def go_to(self, offset: float, slice_spacing: float) -> None:
        """Turn the wheel until a slice is in view."""
        self._rest_the_hand_on_it()
        for _ in range(400):
            distance = offset - self.offset
            if abs(distance) < slice_spacing / 2:
                break
            before = self.offset
            self._page.mouse.wheel(0, -100 if distance > 0 else 100)
            self._page.wait_for_function(
                "([slider, before]) => Number(slider.getAttribute('aria-valuenow')) !== before",
                arg=[self._slider.element_handle(), before],
            )
        assert abs(self.offset - offset) < slice_spacing / 2, (self.offset, offset)
        self.settle()

    def settle(self) -> None:
        """Wait until nothing more is drawn."""
        self._page.wait_for_function(
            "([image, still]) => performance.now() - image.last > still",
            arg=[self._image.element_handle(), STILL_MS],
        )

    def pixels(self) -> np.ndarray:
        """int (height, width, 3) of what is seen, without the edges that buttons lie in."""
        self._page.mouse.move(2, 2)  # a brush would be drawn where the mouse is
        self._page.wait_for_timeout(100)
        self.settle()
        shot = Image.open(io.BytesIO(self._image.screenshot())).convert("RGB")
        return np.asarray(shot).astype(int)[EDGE:-EDGE, EDGE:-EDGE]

    def mask(self, truth: np.ndarray, geometry: Geometry) -> np.ndarray:
        """bool: where a (J, I) mask of an axial slice is in :meth:`pixels`."""
        box = self._area.bounding_box()
        y, x = np.mgrid[EDGE : round(box["height"]) - EDGE, EDGE : round(box["width"]) - EDGE] + 0.5
        mm, centre = self._scale(geometry), self._centre(geometry)
        left = centre[0] + (x - box["width"] / 2) * mm
        back = centre[1] + (y - box["height"] / 2) * mm
        i = np.rint((left - geometry.origin[0]) / geometry.affine[0, 0]).astype(int)
        j = np.rint((back - geometry.origin[1]) / geometry.affine[1, 1]).astype(int)
        inside = (i >= 0) & (j >= 0) & (i < truth.shape[1]) & (j < truth.shape[0])
        return inside & truth[np.where(inside, j, 0), np.where(inside, i, 0)]

    def brush_radius(self, percent: float, geometry: Geometry) -> float:
        """mm of a brush that is so many percent of the view high."""
        return percent / 200 * self._area.bounding_box()["height"] * self._scale(geometry)

    def drag(self, positions: Sequence[Sequence[float]], geometry: Geometry, between: int = 1) -> None:
        """Hold the left button down along positions in mm (left, back), with ``between`` moves from one to the next."""
        (first, *others) = [self._on_screen(position, geometry) for position in positions]
        mouse = self._page.mouse
        mouse.move(*first)
        self._page.wait_for_timeout(STEP_MS)
        mouse.down()
        last = first
        for point in others:
            for share in np.linspace(0, 1, between + 1)[1:]:
                self._page.wait_for_timeout(STEP_MS)
                mouse.move(*(np.array(last) + share * (np.array(point) - last)))
            last = point
        self._page.wait_for_timeout(STEP_MS)
        mouse.up()

    def scroll(self, n: int, *, down: bool) -> list[float]:
        """Turn the wheel ``n`` times, each time as soon as the frame before is there.

        Returns:
            For each turn the ms from the wheel's event to the first frame that the page has decoded after its slider
            has moved.
        """
        self._rest_the_hand_on_it()
        self.settle()
        parts = [self._image.element_handle(), self._slider.element_handle()]
        watch = self._page.evaluate_handle(_TIME_TURNS, parts)
        area = self._area.element_handle()
        for turn in range(n):
            self._page.mouse.wheel(0, 100 if down else -100)
            self._page.wait_for_function("([area, turn]) => area.turns.length > turn", arg=[area, turn])
        return watch.evaluate("end => end()")

    def _rest_the_hand_on_it(self) -> None:
        box = self._area.bounding_box()
        self._page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def _scale(self, geometry: Geometry) -> float:
        """mm a pixel: the whole slice fits into the view."""
        box = self._area.bounding_box()
        size = np.array(geometry.shape[:0:-1]) * geometry.spacing[:2]
        return max(size[0] / box["width"], size[1] / box["height"])

    @staticmethod
    def _centre(geometry: Geometry) -> np.ndarray:
        middle = [(n - 1) / 2 for n in reversed(geometry.shape)]
        return (geometry.affine @ [*middle, 1])[:2]

    def _on_screen(self, position: Sequence[float], geometry: Geometry) -> tuple[float, float]:
        box = self._area.bounding_box()
        x, y = (np.asarray(position) - self._centre(geometry)) / self._scale(geometry)
        return float(box["x"] + box["width"] / 2 + x), float(box["y"] + box["height"] / 2 + y)
