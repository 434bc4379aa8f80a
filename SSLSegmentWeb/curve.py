"""Loss and Dice as a small drawing: the paths and ticks of an SVG. No trame, no MRML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]

WIDTH, HEIGHT = 340, 120
LEFT, RIGHT, TOP, BOTTOM = 34, 312, 8, 100
"""The frame inside of the drawing, in its own units."""

SHOWN_POINTS = 140


@dataclass(frozen=True)
class Tick:
    """A number beside an axis.

    Attributes:
        x: where its text is.
        y: where its text is.
        text: the number.
        anchor: which end of the text is there: "start", "middle" or "end".
    """

    x: float
    y: float
    text: str
    anchor: str


@dataclass(frozen=True)
class Drawing:
    """What the SVG shows.

    Attributes:
        loss: path of the loss; empty where there is none.
        dice: path of the Dice.
        area: the path below the Dice.
        ticks: numbers at the axes: loss on the left, Dice on the right, steps below.
        lines: heights of the horizontal lines.
        latest: the last values in words, for legend and screen readers: "Loss 0.42", "Dice 0.91".
    """

    loss: str = ""
    dice: str = ""
    area: str = ""
    ticks: list[Tick] = field(default_factory=list)
    lines: list[float] = field(default_factory=list)
    latest: list[str] = field(default_factory=list)


def draw(loss: Sequence[Point], dice: Sequence[Point]) -> Drawing:
    """Draw both curves over one axis of steps; an empty drawing where there are less than two points of loss."""
    loss, dice = ([point for point in points if math.isfinite(point[1])] for points in (loss, dice))
    if len(loss) < 2:
        return Drawing()
    first = min(points[0][0] for points in (loss, dice) if points)
    last = max(points[-1][0] for points in (loss, dice) if points)
    top = nice_ceiling(max(value for _, value in loss))

    def place(points: Sequence[Point], full: float) -> list[Point]:
        return [
            (
                LEFT + (RIGHT - LEFT) * (step - first) / max(last - first, 1),
                BOTTOM - (BOTTOM - TOP) * min(max(value / full, 0.0), 1.0),
            )
            for step, value in thinned(points)
        ]

    losses, dices = place(loss, top), place(dice, 1.0)
    area = f"{_path(dices)}L{dices[-1][0]:.1f},{BOTTOM}L{dices[0][0]:.1f},{BOTTOM}Z" if len(dices) > 1 else ""
    return Drawing(
        loss=_path(losses),
        dice=_path(dices) if len(dices) > 1 else "",
        area=area,
        ticks=_ticks(top, first, last, with_dice=bool(dices)),
        lines=[BOTTOM - (BOTTOM - TOP) * part for part in (0, 0.5, 1)],
        latest=[f"{name} {points[-1][1]:.2f}" for name, points in (("Loss", loss), ("Dice", dice)) if points],
    )


def thinned(points: Sequence[Point], n: int = SHOWN_POINTS) -> list[Point]:
    """At most ``n`` points: means of neighbours, the last point as it is."""
    if len(points) <= n:
        return list(points)
    before = points[:-1]
    size = math.ceil(len(before) / (n - 1))
    chunks = [before[begin : begin + size] for begin in range(0, len(before), size)]
    return [(chunk[-1][0], sum(value for _, value in chunk) / len(chunk)) for chunk in chunks] + [points[-1]]


def nice_ceiling(value: float) -> float:
    """The next number with one digit, or 1.5 times a power of ten; 1 for nothing positive and finite."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        (factor * power for factor in (1, 1.5, 2, 3, 4, 5, 6, 8) if factor * power >= value * (1 - 1e-9)), 10 * power
    )


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points) if points else ""


def _ticks(top: float, first: float, last: float, *, with_dice: bool) -> list[Tick]:
    heights = [(part, BOTTOM - (BOTTOM - TOP) * part + 3) for part in (0, 0.5, 1)]
    ticks = [Tick(LEFT - 6, y, f"{top * part:.3g}", "end") for part, y in heights]
    if with_dice:
        ticks += [Tick(RIGHT + 6, y, f"{part:g}", "start") for part, y in heights]
    below = BOTTOM + 14
    return [
        *ticks,
        Tick(LEFT, below, f"{first:.0f}", "start"),
        Tick((LEFT + RIGHT) / 2, below, "Step", "middle"),
        Tick(RIGHT, below, f"{last:.0f}", "end"),
    ]
