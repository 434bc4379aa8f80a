"""The first answer to an annotation: what was drawn stays, the rest is carried, and a training goes on from there."""

import dataclasses

import numpy as np
import pytest
from few_slices import CASES, SETTINGS, write_weights
from synthetic import make_labels

from sslseg import preparation as preparation_module
from sslseg.carry import carry_labels
from sslseg.errors import InputError
from sslseg.finetune import finetune
from sslseg.preparation import Preparation


@pytest.mark.parametrize("name", CASES)
def test_what_was_drawn_stays_and_everything_gets_a_class(name):
    case = CASES[name]
    found = carry_labels(case, SETTINGS)
    known = case.annotation.known
    assert np.array_equal(found.labels[known], case.annotation.labels[known])
    assert not found.uncertainty[known].any()
    assert found.labels.max() < case.annotation.n_classes
    assert (found.uncertainty >= 0).all()
    assert (found.uncertainty <= 1).all()
    assert found.geometry == case.volume.geometry
    assert found.stopped == "schedule"


def test_labels_arrive_in_slices_that_were_not_annotated():
    case = CASES["three slices"]
    truth = make_labels(case.volume.geometry)
    others = ~case.annotation.known
    found = carry_labels(case, SETTINGS).labels
    overlap = (
        ((found > 0) & (truth > 0) & others).sum() * 2 / (((found > 0) & others).sum() + ((truth > 0) & others).sum())
    )
    assert overlap > 0.7


@pytest.mark.usefixtures("tiny_training")
def test_a_training_goes_on_from_there(monkeypatch, tmp_path):
    calls, original = [], preparation_module.complete_annotation
    monkeypatch.setattr(
        preparation_module, "complete_annotation", lambda *a, **k: (calls.append(a), original(*a, **k))[1]
    )
    settings = dataclasses.replace(SETTINGS, weights=str(write_weights(tmp_path / "w.safetensors")))
    preparation = Preparation()
    carry_labels(CASES["two slices"], settings, preparation=preparation)
    result = finetune([CASES["two slices"]], settings, preparation=preparation)
    assert len(calls) == 1
    assert result.stopped == "schedule"


def test_a_stop_cuts_it_short():
    assert carry_labels(CASES["two slices"], SETTINGS, should_stop=lambda: True).stopped == "request"


def test_an_annotation_of_another_image_is_refused():
    case = dataclasses.replace(CASES["two slices"], annotation=CASES["rows of a single slice"].annotation)
    with pytest.raises(InputError, match="does not fit"):
        carry_labels(case, SETTINGS)
