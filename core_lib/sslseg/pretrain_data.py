"""Which images a pretraining learns from: folders that are searched, or a manifest of data sets."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk

from sslseg.dicom_series import is_dicom, read_series
from sslseg.errors import InputError
from sslseg.itk_io import READ_ENDINGS, geometry_of, itk_session, read_image
from sslseg.volume import Volume, check_values

MANIFEST_ENDINGS = (".yaml", ".yml", ".json")
UNKNOWN_LICENCE = "not stated"

_TEXTS = ("name", "path", "modality", "anatomy", "licence")
_FIELDS = (*_TEXTS, "leave_out")
_LABEL_NAME = re.compile(r"(^|[-_. ])(gt|labels?|seg|segmentations?|masks?|scribbles?)$", re.IGNORECASE)
_LABEL_FOLDER = re.compile(r"(labels?|masks?|segmentations?)(tr|ts|va)?$", re.IGNORECASE)
_MOST_CLASSES = 40
_LOOKED_AT = 500_000


@dataclass(frozen=True)
class DataSet:
    """Images that belong together.

    Attributes:
        name: unique.
        path: the folder that is searched, or one image file.
        modality: for example "MR"; empty where unknown.
        anatomy: for example "heart"; empty where unknown.
        licence: of the images.
        leave_out: patterns of file names that are not used, for example "patient007_*".
        sources: image files and, for DICOM, one file of each series.
    """

    name: str
    path: str
    modality: str = ""
    anatomy: str = ""
    licence: str = UNKNOWN_LICENCE
    leave_out: tuple[str, ...] = ()
    sources: tuple[Path, ...] = field(default=())

    @property
    def group(self) -> str:
        """What resembles other data sets: modality and anatomy; the name where neither is known."""
        return " ".join(part for part in (self.modality, self.anatomy) if part) or self.name

    def as_dict(self) -> dict[str, Any]:
        """What the header of the weights says of it: no path, which would be of one machine only."""
        values = asdict(self)
        del values["sources"], values["path"]
        return values


class FoundImage(NamedTuple):
    """An image below a folder.

    Attributes:
        path: to read: the file, or one file of a DICOM series.
        folder: that it lies in.
        name: of the file without its ending, or of the folder of the series.
    """

    path: Path
    folder: Path
    name: str


def find_data_sets(places: Sequence[Path]) -> list[DataSet]:
    """The data sets in folders, image files and manifests.

    A folder or file is a data set of its own, named after it. Label maps, known by their names, are left out.

    Args:
        places: folders, image files, or manifests (.yaml, .yml, .json) with a list of data sets, each with a name and
            a path (relative to the manifest; $NAME stands for an environment variable), where known modality, anatomy
            and licence, and file names to leave_out.

    Raises:
        InputError: a place is missing, a manifest is damaged, two data sets have one name, or nothing was found.
    """
    named: list[DataSet] = []
    for place in places:
        if place.is_file() and place.suffix.lower() in MANIFEST_ENDINGS:
            named += _read_manifest(place)
        else:
            named.append(DataSet(place.absolute().name, str(place)))
    names = [data_set.name for data_set in named]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise InputError(f"Two data sets are called '{double}': give each its own name, in a manifest if need be.")
    found = [
        replace(data_set, sources=tuple(_wanted(_search(Path(data_set.path)), data_set.leave_out)))
        for data_set in named
    ]
    if not any(data_set.sources for data_set in found):
        where = ", ".join(data_set.path for data_set in found) or "the manifest"
        raise InputError(f"No images were found in {where}: give folders with NRRD, NIfTI, MHA or DICOM files.")
    return found


def fingerprint(data_sets: Sequence[DataSet]) -> str:
    """A key that changes when a file comes, goes or changes (by name, size and time), or a data set does."""
    digest = hashlib.sha256()
    for data_set in data_sets:
        digest.update(json.dumps([data_set.name, data_set.path, len(data_set.sources)]).encode())
        places: dict[Path, None] = {}  # in order, each once: the series of a DICOM folder share it
        for source in data_set.sources:
            # Of a DICOM series only one file is known before it is read: its whole folder counts.
            places[source.parent if source.is_file() and is_dicom(source) else source] = None
        for place in places:
            for file in sorted(place.iterdir()) if place.is_dir() else [place]:
                facts = file.stat() if file.exists() else file.lstat()  # a link to nowhere is skipped later, and said
                digest.update(json.dumps([str(file), facts.st_size, facts.st_mtime_ns]).encode())
    return digest.hexdigest()[:16]


def read_images(source: Path) -> Iterator[Volume]:
    """The volumes of a file or DICOM series: one, or one for each frame of a 4-D file.

    Raises:
        InputError: as :func:`sslseg.volume.read_volume`; or it is a label map, by its few whole numbers.
    """
    image = read_series(source) if is_dicom(source) else read_image(source, frames=True)
    count = image.GetSize()[3] if image.GetDimension() == 4 else 1
    for number in range(count):
        frame = image[..., number] if image.GetDimension() == 4 else image  # one at a time: each is a copy
        array = np.array(sitk.GetArrayViewFromImage(frame), dtype=np.float32)
        check_values(array, str(source) if count == 1 else f"Frame {number} of {source}")
        _check_not_labels(array, source)
        yield Volume(array, geometry_of(frame), source.name)


def _search(place: Path) -> list[Path]:
    """Images below ``place``, in the order of their names."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise InputError(f"{place} does not exist: check the path of the data.")
    found: list[Path] = []
    for folder, folders, names in os.walk(place):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not _LABEL_FOLDER.fullmatch(name))
        files = [Path(folder) / name for name in sorted(names) if not name.startswith(".")]
        images = [file for file in files if file.name.lower().endswith(READ_ENDINGS)]
        found += [file for file in images if not _LABEL_NAME.search(_stem(file))]
        if any(_may_be_dicom(file) for file in files):
            found += _series(Path(folder))
    return found


def _wanted(sources: Iterable[Path], leave_out: Sequence[str]) -> Iterator[Path]:
    return (source for source in sources if not any(fnmatch(source.name, pattern) for pattern in leave_out))


def _may_be_dicom(file: Path) -> bool:
    with contextlib.suppress(OSError):
        return file.name.upper() != "DICOMDIR" and is_dicom(file)
    return False


def _series(folder: Path) -> list[Path]:
    """One file of each DICOM series; the folder itself where none can be read, so that reading it says why."""
    with itk_session():
        identifiers = sorted(sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)))
        firsts = [sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), name)[0] for name in identifiers]
    return [Path(file) for file in firsts] or [folder]


def find_images(folder: Path) -> list[FoundImage]:
    """The images in and below a folder, in the order of their names; label maps, known by theirs, are left out.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    sources = find_data_sets([folder])[0].sources
    return [_found(path) for path in sources]


def _found(path: Path) -> FoundImage:
    if path.is_dir():  # DICOM files that cannot be read
        return FoundImage(path, path, path.name)
    if path.name.lower().endswith(READ_ENDINGS):
        return FoundImage(path, path.parent, _stem(path))
    return FoundImage(path, path.parent, path.parent.name)


def _stem(file: Path) -> str:
    ending = next(ending for ending in READ_ENDINGS if file.name.lower().endswith(ending))
    return file.name[: -len(ending)]


def _check_not_labels(array: np.ndarray, source: Path) -> None:
    sample = array.ravel()[:: max(1, array.size // _LOOKED_AT)]
    values = np.unique(sample)
    if len(values) <= _MOST_CLASSES and np.array_equal(values, np.rint(values)):
        raise InputError(f"{source} holds {len(values)} whole numbers only, as label maps do: leave it out.")


def _read_manifest(path: Path) -> list[DataSet]:
    content = _parse(path)
    entries = content.get("data_sets", content.get("datasets")) if isinstance(content, dict) else content
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path} is not a manifest: it must be a list of data sets, each with a name and a path.")
    return [_read_entry(entry, path) for entry in entries]


def _read_entry(entry: Any, path: Path) -> DataSet:
    if not isinstance(entry, dict) or not entry.get("name") or not entry.get("path"):
        raise InputError(f"{path} has a data set without a name or a path: {entry!r} needs both.")
    unknown = [str(key) for key in entry if key not in _FIELDS]
    if unknown:
        raise InputError(f"{path} has an unknown field '{unknown[0]}': use {', '.join(_FIELDS)}.")
    patterns = entry.get("leave_out") or []
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise InputError(f"{path} leaves out {patterns!r} of '{entry['name']}': give a list of file names or patterns.")
    values = {key: str(entry[key]) for key in _TEXTS if entry.get(key) is not None}
    values["path"] = str(path.parent / os.path.expandvars(values["path"]))
    return DataSet(**values, leave_out=tuple(patterns))  # type: ignore[arg-type] # the others are text


def _parse(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: check the manifest.") from error
    if path.suffix.lower() == ".json":
        try:
            return json.loads(text)
        except ValueError as error:
            raise InputError(f"{path} is not JSON ({error}): correct the manifest.") from error
    try:
        import yaml  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise InputError(
            f"{path} needs PyYAML: install it (pip install pyyaml), or write the manifest as JSON."
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML ({' '.join(str(error).split())}): correct the manifest.") from error
