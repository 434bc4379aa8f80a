"""Loss and Dice as paths of an SVG."""

import re

import numpy as np
import pytest

from SSLSegmentWeb.curve import BOTTOM, LEFT, RIGHT, SHOWN_POINTS, TOP, Drawing, draw, nice_ceiling, thinned


def points_of(path):
    return [tuple(map(float, pair.split(","))) for pair in re.findall(r"[\d.]+,[\d.]+", path)]


@pytest.mark.parametrize(
    ("value", "ceiling"),
    [(2.6, 3), (3.0, 3), (3.01, 4), (1.2, 1.5), (0.07, 0.08), (0.051, 0.06), (9.5, 10), (170, 200), (1, 1), (7, 8),
     (0, 1), (-2, 1), (float("nan"), 1), (float("inf"), 1)],
)  # fmt: skip
def test_an_axis_ends_at_a_round_number(value, ceiling):
    assert nice_ceiling(value) == pytest.approx(ceiling)


@pytest.mark.parametrize("n", [0, 1, 2, SHOWN_POINTS, SHOWN_POINTS + 1, 1000, 12_345])
def test_thinning_keeps_the_last_point_and_the_mean(n):
    rng = np.random.default_rng(n)
    points = [(float(step), float(value)) for step, value in enumerate(rng.uniform(0, 2, n))]
    found = thinned(points)
    assert len(found) <= SHOWN_POINTS
    assert found[-1:] == points[-1:]
    steps = [step for step, _ in found]
    assert steps == sorted(set(steps))
    if n > 1:
        assert np.mean([value for _, value in found]) == pytest.approx(np.mean([value for _, value in points]), abs=0.1)


@pytest.mark.parametrize("loss", [[], [(1.0, 0.5)]])
def test_less_than_two_points_are_no_curve(loss):
    assert draw(loss, []) == Drawing()


def test_the_drawing_fills_its_frame():
    drawing = draw([(1, 4.0), (3, 2.0), (5, 0.0)], [(1, 0.0), (5, 1.0)])
    assert points_of(drawing.loss) == [(LEFT, TOP), ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2), (RIGHT, BOTTOM)]
    assert points_of(drawing.dice) == [(LEFT, BOTTOM), (RIGHT, TOP)]
    assert points_of(drawing.area)[-2:] == [(RIGHT, BOTTOM), (LEFT, BOTTOM)]
    assert drawing.latest == ["Loss 0.00", "Dice 1.00"]
    assert [tick.text for tick in drawing.ticks] == ["0", "2", "4", "0", "0.5", "1", "1", "Step", "5"]


def test_a_loss_without_dice():
    drawing = draw([(0, 1.0), (9, 3.0)], [])
    assert drawing.dice == drawing.area == ""
    assert [tick.text for tick in drawing.ticks] == ["0", "1.5", "3", "0", "Step", "9"]


def test_strange_values_stay_inside_of_the_frame():
    drawing = draw([(0, -1.0), (1, float("inf")), (2, 5.0), (3, float("nan"))], [(0, 1.7), (2, -0.2)])
    assert drawing.latest == ["Loss 5.00", "Dice -0.20"]
    for x, y in points_of(drawing.loss) + points_of(drawing.dice):
        assert LEFT <= x <= RIGHT
        assert TOP <= y <= BOTTOM
