"""Every format is written by a real session, and downloaded."""

import asyncio

import aiohttp
import pydicom
import pytest
import SimpleITK as sitk
from web_session import HEADERS, browser, opened, paint, session

FORMATS = ["seg.nrrd", "nii.gz", "nrrd", "stl", "obj", "ply", "dcm"]


async def downloaded(running, page, folder):
    """Export, and fetch what the page offers; the files by their names."""
    await page.press("export")
    await page.until(lambda: page.state["ExportState__files"], 60)
    found = []
    async with aiohttp.ClientSession(headers=HEADERS) as client:
        for file in page.state["ExportState__files"]:
            async with client.get(f"{running.url}/{file['address']}") as answer:
                assert answer.status == 200
                assert answer.headers["Content-Disposition"].startswith("attachment")
                path = folder / file["name"]
                path.write_bytes(await answer.read())
                found.append(path)
    return found


@pytest.mark.data
def test_all_formats_of_a_drawing_on_a_dicom_series(tmp_path, data_dir):
    series = next(folder for folder in sorted((data_dir / "sunnybrook" / "dicom").iterdir()) if folder.is_dir())
    (tmp_path / "got").mkdir()

    async def work(running):
        async with browser(running) as page:
            await opened(page)
            await page.set(ExportState__formats=FORMATS)
            await paint(page, "Red", (0, 0), (20, 0))
            await page.until(lambda: page.state["SlicesState__rows"] and page.state["data_unsaved"])
            files = await downloaded(running, page, tmp_path / "got")
            await page.until(lambda: not page.state["data_unsaved"])
            return files

    with session(tmp_path / "s", volume=series) as running:
        files = asyncio.run(work(running))
    endings = [next(ending for ending in FORMATS if path.name.endswith(ending)) for path in files]
    assert set(endings) == set(FORMATS)
    images = [path for path in files if path.name.endswith(("nrrd", "nii.gz"))]
    drawn = {int((sitk.GetArrayFromImage(sitk.ReadImage(str(path))) > 0).sum()) for path in images}
    assert len(drawn) == 1
    assert drawn.pop() > 0
    for path in files:
        assert path.stat().st_size > 0
    (dicom,) = [path for path in files if path.suffix == ".dcm"]
    found, source = pydicom.dcmread(dicom), pydicom.dcmread(next(series.iterdir()))
    assert found.Modality == "SEG"
    assert found.StudyInstanceUID == source.StudyInstanceUID
    assert found.pixel_array.any()
