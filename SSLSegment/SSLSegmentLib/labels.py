"""What the inputs of a panel are called, and what each is for. No Qt, plain English.

``SSLSegment.ui`` has the same texts, where translators look for them; a test compares the two.
"""

from __future__ import annotations

from typing import NamedTuple


class Label(NamedTuple):
    """Texts of one input.

    Attributes:
        title: beside it or on it; empty where it stands behind another one.
        tooltip: one or two sentences.
    """

    title: str
    tooltip: str


SECTIONS = {"slices": "Annotated slices", "train": "Train", "result": "Result", "export": "Export"}

SETTINGS = {
    "axis": Label("Slice axis", "Along which axis you draw slice by slice."),
    "weights": Label("Pretrained weights", "What the network knows before it sees your drawing."),
    "preset": Label("Preset", "How long to train, and how large a network."),
    "device": Label("Device", "What to compute with."),
    "background_segment_id": Label(
        "Background segment",
        "A segment that stands for background. With one, only what is painted is known, so that scribbles suffice; "
        "without one, a slice with a drawing is fully annotated.",
    ),
    "time_limit_s": Label(
        "Time limit",
        "Training stops after this time and keeps the best model so far. 0: as long as the preset takes.",
    ),
    "seed": Label("Seed", "The same seed on the same device gives the same result."),
    "show_prediction": Label("Prediction", "Shows the predicted segments in the slice views."),
    "prediction_opacity": Label("", "How much of the image the prediction hides."),
    "prediction_style": Label("Drawn as", "Whether predicted segments are filled, outlined, or both."),
    "show_in_3d": Label("In 3-D", "Shows the surfaces of the predicted segments in 3-D views."),
    "show_uncertainty": Label("Uncertainty", "Colours the places where the model is unsure, from dark red to white."),
    "uncertainty_opacity": Label("", "How much of the image the uncertainty hides."),
    "export_name": Label(
        "File name", "What the files are called, without ending. Empty: after the study and the segmentation."
    ),
}
"""Inputs by the field of :class:`SSLSegmentLib.settings.LoopSettings` that they change."""

MARK_EMPTY = Label(
    "Mark as empty", "Says that the slice in view holds no structure at all, which is worth as much as a drawing."
)
REMOVE = Label("Remove", "The chosen slice does not count as annotated any more. What is drawn on it stays.")
USE_AGAIN = "Use again"

SLICES = "The slices that a training learns from. Click one to see it."
DRAWING = "Draw each structure on two or three slices. A slice with anything drawn on it counts as fully annotated."
CURVES = "Loss, and Dice on the annotated slices. Dice there is a training score, not an estimate of accuracy."
VOLUMES = "Volume of each predicted segment."
LOG = Label("Log", "What the training printed.")
