"""What the presets mean. One configuration that adapts to each volume, not one for each data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sslseg.settings import LINEAR

LINEAR_PROBE, FINE_TUNING = "linear probe", "fine-tuning"
"""The stages of a training, as its progress names them."""


@dataclass(frozen=True)
class Preset:
    """How large and how long.

    Attributes:
        max_pixels: longest side of a slice in the network.
        patch: side of the square training patches, in pixels.
        batch: annotated patches of a step.
        propagated: patches of un-annotated slices on top, with the labels that propagation carries there.
        steps: of the fine-tuning.
        probe_steps: of the linear probe before it; only from pretrained weights. As many for every length: that is
            what a random head needs in order not to spoil them, and longer ones cost accuracy (docs/design.md).
    """

    max_pixels: int
    patch: int
    batch: int
    propagated: int
    steps: int
    probe_steps: int

    def stages(self, mode: str, *, pretrained: bool) -> dict[str, int]:
        """Steps of each stage, in their order.

        Args:
            mode: see :class:`sslseg.settings.Settings`; a linear probe takes as many steps as both stages together.
            pretrained: whether the backbone is worth a linear probe.
        """
        probe_steps = self.probe_steps if pretrained else 0
        if mode == LINEAR:
            return {LINEAR_PROBE: probe_steps + self.steps, FINE_TUNING: 0}
        return {LINEAR_PROBE: probe_steps, FINE_TUNING: self.steps}


PRESETS: Mapping[str, Preset] = {
    "fast": Preset(max_pixels=128, patch=64, batch=4, propagated=2, steps=80, probe_steps=30),
    "balanced": Preset(max_pixels=192, patch=96, batch=4, propagated=2, steps=250, probe_steps=30),
    "accurate": Preset(max_pixels=320, patch=160, batch=8, propagated=4, steps=720, probe_steps=30),
}
"""By the name in :class:`sslseg.settings.Settings`."""
