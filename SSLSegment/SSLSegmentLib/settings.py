"""Everything the user chose, as one dataclass of plain values that a parameter node can mirror."""

from __future__ import annotations

from dataclasses import dataclass, field

from sslseg.errors import InputError
from sslseg.geometry import AXIS_NAMES
from sslseg.settings import AUTO_WEIGHTS, Settings

AUTO_AXIS = -1
NO_TIME_LIMIT = 0.0
STYLES = ("outline and fill", "outline", "fill")


@dataclass
class LoopSettings:
    """The user's choices for one volume.

    Attributes:
        preset: "fast", "balanced" or "accurate".
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        seed: the same seed on the same device gives the same result.
        time_limit_s: stop training after this many seconds; 0 = by schedule only.
        weights: path of pretrained weights, "none" for random ones, "auto" for the best that ships.
        axis: array axis of the annotated slices, 0 (K), 1 (J) or 2 (I); -1 follows the annotation.
        empty_slices: slices that were looked at and hold no structure, which makes them annotated.
        excluded_slices: slices that do not count as annotated although something is drawn on them.
        background_segment_id: a segment that stands for background; empty where there is none.
        show_prediction: overlay the result on the slices.
        prediction_opacity: of that overlay, 0 to 1.
        prediction_style: how it is drawn on the slices, one of :data:`STYLES`.
        show_in_3d: also show its surfaces in 3-D views.
        show_uncertainty: overlay how unsure the model is, as a colour map.
        uncertainty_opacity: of that overlay, 0 to 1.
        show_curves: plot loss and Dice while training.
        export_formats: endings without the leading dot, for example "seg.nrrd", "nii.gz", "stl".
        export_folder: where exports go; empty until chosen.
        export_name: what the files are called, without an ending; empty: after the study and the segmentation.
        export_to_database: add DICOM files to Slicer's DICOM database too, where there is one.
        apply_model: file of a saved model that is to be applied; empty: the one of the latest training.
        apply_folder: images that the model is to be applied to; empty until chosen.
        apply_output_folder: where their segmentations go; empty: beside the images.
        apply_ending: their format, one of :data:`SSLSegmentLib.apply_job.ENDINGS`.
        pretraining_folder: unlabelled scans, or a manifest of several folders; empty until chosen.
        pretraining_method: one of :data:`sslseg.pretrain_settings.METHODS`.
        pretraining_backbone: size of the network, one of :data:`sslseg.pretrain_settings.BACKBONE_NAMES`.
        pretraining_minutes: time budget of the whole run.
        pretraining_name: of the weights that it makes, a file name without its ending; empty until chosen.
    """

    preset: str = "balanced"
    device: str = "auto"
    seed: int = 0
    time_limit_s: float = NO_TIME_LIMIT
    weights: str = AUTO_WEIGHTS
    axis: int = AUTO_AXIS
    empty_slices: list[int] = field(default_factory=list)
    excluded_slices: list[int] = field(default_factory=list)
    background_segment_id: str = ""
    show_prediction: bool = True
    prediction_opacity: float = 1.0
    prediction_style: str = STYLES[0]
    show_in_3d: bool = True
    show_uncertainty: bool = True
    uncertainty_opacity: float = 0.5
    show_curves: bool = True
    export_formats: list[str] = field(default_factory=lambda: ["seg.nrrd"])
    export_folder: str = ""
    export_name: str = ""
    export_to_database: bool = True
    apply_model: str = ""
    apply_folder: str = ""
    apply_output_folder: str = ""
    apply_ending: str = ".seg.nrrd"
    pretraining_folder: str = ""
    pretraining_method: str = "pix2rep"
    pretraining_backbone: str = "small"
    pretraining_minutes: float = 30.0
    pretraining_name: str = ""

    def training(self) -> Settings:
        """The part that the training core needs.

        Raises:
            InputError: a choice that does not exist.
        """
        return Settings(
            preset=self.preset,
            device=self.device,
            seed=self.seed,
            time_limit_s=None if self.time_limit_s == NO_TIME_LIMIT else self.time_limit_s,
            weights=self.weights,
        )

    def is_valid(self) -> tuple[bool, str]:
        """Whether a training could start with these choices, and if not, the sentence that says why."""
        if self.axis != AUTO_AXIS and self.axis not in range(len(AXIS_NAMES)):
            return False, f"There is no slice axis {self.axis}: choose automatic, {', '.join(AXIS_NAMES)}."
        both = sorted(set(self.empty_slices) & set(self.excluded_slices))
        if both:
            return False, f"Slice {both[0] + 1} is marked as empty and as excluded: choose one of them."
        try:
            self.training()
        except InputError as error:
            return False, str(error)
        return True, ""
