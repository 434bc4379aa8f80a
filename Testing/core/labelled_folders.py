"""Small folders of labelled data that are laid out like the real ones, for tests of the benchmarks."""

import dataclasses

import numpy as np
from synthetic import make_geometry, make_volume

from sslseg.annotation import default_segments
from sslseg.labelmap_io import write_labels
from sslseg.volume import write_volume

HEART = make_geometry((7, 24, 22), spacing=(1.5, 1.5, 8.0))
ACDC_PATIENTS = ("001", "002", "019", "038", "050", "099")
"""002 and 019 are test patients; 099, 038, 050 are the first labelled ones of the published split."""


def heart_labels(seed=0):
    """A ring (2) around a disc (3) with a crescent (1) beside, in the slices 1 to 5; 0 elsewhere."""
    random = np.random.default_rng(seed)
    labels = np.zeros(HEART.shape, np.uint8)
    j, i = np.mgrid[: HEART.shape[1], : HEART.shape[2]]
    row, column = 12 + random.uniform(-1, 1, 2)
    for k in range(1, 6):
        distance = np.hypot(j - row, i - column - 2)
        beside = np.hypot(j - row, i - column + 4)
        labels[k][beside < 5 - 0.3 * k] = 1
        labels[k][distance < 6 - 0.4 * k] = 2
        labels[k][distance < 3.5 - 0.3 * k] = 3
    return labels


def write_acdc(folder, patients=ACDC_PATIENTS):
    """End-diastole of some patients, below ``folder``."""
    place = folder / "acdc"
    place.mkdir(parents=True)
    for seed, patient in enumerate(patients):
        labels = heart_labels(seed)
        volume = dataclasses.replace(make_volume(labels, HEART, seed=seed), name=patient)
        write_volume(volume, place / f"patient{patient}_ED.nii.gz")
        write_labels(labels, HEART, default_segments((1, 2, 3)), place / f"patient{patient}_ED_gt.nii.gz")
    return folder
