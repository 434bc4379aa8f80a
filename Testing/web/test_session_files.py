"""Uploads and files of the server, opened in a real session."""

import asyncio
from urllib.parse import quote

import aiohttp
import numpy as np
import pytest
import SimpleITK as sitk
from web_phantom import write_drawing, write_phantom
from web_session import HEADERS, browser, opened, paint, session

REFUSED = (
    ("volume", "cut.nrrd", 400),
    ("volume", "text.nii.gz", 400),
    ("volume", "linked.nrrd", 400),
    ("segmentation", "text.nii.gz", 400),
    ("segmentation", "other grid.nrrd", 400),
    ("volume", "large.nrrd", 413),
    ("segmentation", "large.nrrd", 413),
)


async def upload(running, kind, file, name=""):
    """Send a file; the status and the sentence that came back."""
    url = f"{running.url}/files/{kind}?name={quote(name or file.name)}"
    async with aiohttp.ClientSession(headers=HEADERS) as client, client.post(url, data=file.read_bytes()) as answer:
        return answer.status, await answer.text()


def titles(page, kind):
    """What can be chosen."""
    return [item["title"] for item in page.state[f"{kind}_items"]]


async def choose(page, kind, title):
    """Choose an entry of a list."""
    (value,) = [item["value"] for item in page.state[f"{kind}_items"] if item["title"] == title]
    await page.set(**{f"{kind}_choice": value})


@pytest.mark.parametrize("name", ["Bild ä 1.nii.gz", "b.nrrd", "c.mha"])
def test_uploads_are_opened_on_their_grid(tmp_path, name):
    image = write_phantom(tmp_path / name, "oblique")
    labels = write_drawing(tmp_path / "labels.nii.gz", image, [2, 6])

    async def work(running):
        async with browser(running) as page:
            assert await upload(running, "volume", tmp_path / name) == (204, "")
            assert await upload(running, "segmentation", tmp_path / "labels.nii.gz") == (204, "")
            await page.until(lambda: [row["index"] for row in page.state["SlicesState__rows"]] == [2, 6])
            return await page.exported(running)

    with session(tmp_path / "s") as running:
        found = asyncio.run(work(running))
    on_grid = sitk.GetArrayFromImage(sitk.Resample(found, image, sitk.Transform(), sitk.sitkNearestNeighbor))
    np.testing.assert_array_equal(on_grid, labels)


def test_refused_uploads_leave_everything_as_it_is(tmp_path):
    image = write_phantom(tmp_path / "a.nrrd", "upright")
    (tmp_path / "cut.nrrd").write_bytes((tmp_path / "a.nrrd").read_bytes()[:5000])
    (tmp_path / "text.nii.gz").write_bytes(b"text")
    (tmp_path / "linked.nrrd").write_bytes(
        b"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\ndata file: /etc/passwd\n\n"
    )
    sitk.WriteImage(image[:20], str(tmp_path / "other grid.nrrd"))
    large = tmp_path / "large.nrrd"
    large.write_bytes(bytes(3_000_000))

    async def work(running):
        async with browser(running) as page:
            await opened(page)
            await paint(page, "Red", (0, 0))
            for kind, name, expected in REFUSED:
                status, sentence = await upload(running, kind, tmp_path / name)
                assert status == expected
                assert sentence.endswith(".")
                assert str(tmp_path) not in sentence
            assert titles(page, "volume") == ["a"]
            await page.until(lambda: [row["index"] for row in page.state["SlicesState__rows"]] == [4])
            assert not page.state["data_busy"]

    with session(tmp_path / "s", volume=tmp_path / "a.nrrd", upload_limit=2_000_000) as running:
        asyncio.run(work(running))
        assert [path for path in (tmp_path / "s" / "uploads").rglob("*") if path.is_file()] == []


def test_another_volume_throws_no_drawing_away(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a", "b", "c"):
        write_phantom(folder / f"{name}.nrrd", "upright")

    async def work(running):
        async with browser(running) as page:
            await opened(page)
            await page.until(lambda: "b.nrrd" in titles(page, "volume"))
            await paint(page, "Red", (0, 0))
            await page.until(lambda: page.state["SlicesState__rows"])
            for name in ("b", "c"):  # nothing is drawn on b: it is closed when c is opened
                await choose(page, "volume", f"{name}.nrrd")
                await page.until(lambda name=name: page.state["volume_name"] == name)
                await page.until(lambda: page.state["SlicesState__rows"] == [])
                assert page.state["data_unsaved"]
            assert titles(page, "volume")[:2] == ["a", "c"]
            assert "b" not in titles(page, "volume")
            await choose(page, "volume", "a")
            await page.until(lambda: page.state["SlicesState__rows"])
            await choose(page, "segmentation", "New segmentation")
            await page.until(lambda: not page.state["SlicesState__rows"])
            assert page.state["data_unsaved"]
            former = [title for title in titles(page, "segmentation") if "segmentation" in title.lower()]
            assert len(former) == 3  # the drawing, the new one, and the offer of another
            (kept,) = [
                item["value"]
                for item in page.state["segmentation_items"]
                if item["value"].startswith("node:") and item["value"] != page.state["segmentation_choice"]
            ]
            await page.set(segmentation_choice=kept)
            await page.until(lambda: [row["index"] for row in page.state["SlicesState__rows"]] == [4])

    with session(tmp_path / "s", volume=folder / "a.nrrd", data_dir=folder) as running:
        asyncio.run(work(running))


@pytest.mark.parametrize("value", ["file:../a.nrrd", "file:/etc/passwd", "file:link.nrrd", "node:vtkMRMLNothing", "x"])
def test_nothing_but_the_offers_can_be_chosen(tmp_path, value):
    folder = tmp_path / "data"
    folder.mkdir()
    write_phantom(tmp_path / "a.nrrd", "upright")
    (folder / "link.nrrd").symlink_to(tmp_path / "a.nrrd")

    async def work(running):
        async with browser(running) as page:
            await page.set(volume_choice=value)
            await page.until(lambda: page.state["data_error"])
            assert not page.state["data_has_volume"]
            assert page.state["volume_items"] == []

    with session(tmp_path / "s", data_dir=folder) as running:
        asyncio.run(work(running))


@pytest.mark.data
def test_opens_a_dicom_folder_of_the_browser(tmp_path, data_dir):
    series = next(folder for folder in sorted((data_dir / "sunnybrook" / "dicom").iterdir()) if folder.is_dir())

    async def work(running):
        form = aiohttp.FormData()
        for index, file in enumerate(sorted(series.iterdir())):
            form.add_field(f"file{index}", file.read_bytes(), filename=file.name)
        async with browser(running) as page, aiohttp.ClientSession(headers=HEADERS) as client:
            async with client.post(f"{running.url}/files/volume?name={series.name}", data=form) as answer:
                assert answer.status == 204, await answer.text()
            await opened(page)
            assert page.state["volume_name"] == series.name
            assert "dcm" not in page.state["ExportState__problems"]

    with session(tmp_path / "s") as running:
        asyncio.run(work(running))
