"""The user's choices: a wrong one is told in one sentence."""

import json

import pytest

from sslseg.settings import Settings
from SSLSegmentLib.settings import LoopSettings

CHOSEN = LoopSettings(
    preset="accurate",
    device="cuda:1",
    seed=7,
    time_limit_s=90.5,
    weights="C:/Gewichte größer/pix2rep.safetensors",
    axis=2,
    empty_slices=[0, 11],
    excluded_slices=[3],
    background_segment_id="Segment_3",
    show_prediction=False,
    prediction_opacity=0.25,
    prediction_style="outline",
    show_in_3d=False,
    show_uncertainty=False,
    uncertainty_opacity=0.75,
    show_curves=False,
    export_formats=["nii.gz", "stl"],
    export_folder="/Ausgabe größer",
    export_name="Fall 3 größer",
    export_to_database=False,
    apply_model="/Modelle größer/m.safetensors",
    apply_folder="/Eingabe größer",
    apply_output_folder="/Ergebnisse größer",
    apply_ending=".nii.gz",
    pretraining_folder="/Aufnahmen größer",
    pretraining_method="barlow",
    pretraining_backbone="tiny",
    pretraining_minutes=5.5,
    pretraining_name="Nieren größer",
)


def test_two_objects_share_no_list():
    first, second = LoopSettings(), LoopSettings()
    first.empty_slices.append(3)
    first.export_formats.append("stl")
    assert second == LoopSettings()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"preset": "magic"}, "no preset 'magic'"),
        ({"seed": -1}, "Seed -1"),
        ({"time_limit_s": -5.0}, "time limit of -5 s"),
        ({"axis": 3}, "no slice axis 3"),
        ({"axis": -2}, "no slice axis -2"),
        ({"empty_slices": [3, 4], "excluded_slices": [4]}, "Slice 5 is marked as empty and as excluded"),
    ],
)
def test_a_choice_that_does_not_exist_is_told(changes, sentence):
    valid, reason = LoopSettings(**changes).is_valid()
    assert not valid
    assert sentence in reason
    assert reason.endswith(".")


@pytest.mark.parametrize("settings", [LoopSettings(), CHOSEN, LoopSettings(axis=0), LoopSettings(time_limit_s=0.0)])
def test_what_exists_is_valid(settings):
    assert settings.is_valid() == (True, "")


def test_the_core_gets_its_part():
    assert CHOSEN.training() == Settings("accurate", "cuda:1", 7, 90.5, "C:/Gewichte größer/pix2rep.safetensors")
    assert LoopSettings().training() == Settings()
    json.dumps(CHOSEN.training().as_dict())
