"""The session process as the gate and the browser meet it."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time

import aiohttp
import numpy as np
import psutil
import pytest
import SimpleITK as sitk
from web_phantom import GRIDS, write_drawing, write_phantom
from web_session import HEADERS, ROOT, VIEW, browser, opened, paint, session

from SSLSegmentWeb.desk import careful
from SSLSegmentWeb.session_process import END_S


def painted_indices(drawing, image):
    """(i, j, k) on the grid of ``image`` of every painted voxel, by where it lies in the patient."""
    found = np.argwhere(sitk.GetArrayFromImage(drawing) > 0)[:, ::-1]
    points = [drawing.TransformIndexToPhysicalPoint([int(n) for n in index]) for index in found]
    return np.array([image.TransformPhysicalPointToContinuousIndex(point) for point in points])


@pytest.mark.parametrize("grid", GRIDS)
def test_what_is_painted_is_exported_where_it_was_painted(tmp_path, grid):
    image = write_phantom(tmp_path / "phantom.nrrd", grid)

    async def work(running):
        async with browser(running) as page:
            await opened(page)
            view = {"Axial": "Red", "Coronal": "Green", "Sagittal": "Yellow"}[page.state["layout_id"]]
            assert page.state[f"{view}_position"].startswith("Slice 5 of 9")
            await paint(page, view, (0, 0))
            await paint(page, view, (200, 0))
            return await page.exported(running)

    with session(tmp_path / "s", volume=tmp_path / "phantom.nrrd") as running:
        painted = painted_indices(asyncio.run(work(running)), image)
    assert np.abs(painted - painted.round()).max() < 1e-3
    assert set(painted[:, 2].round()) == {4}  # a flat brush stays in the slice
    spacing, size = np.array(image.GetSpacing()[:2]), np.array(image.GetSize()[:2])
    offset = (painted[:, :2] - (size - 1) / 2) * spacing
    mm_per_pixel = (size * spacing).max() / VIEW["w"]
    first = np.linalg.norm(offset, axis=1) < 100 * mm_per_pixel
    assert np.abs(offset[first].mean(axis=0)).max() < spacing.max()
    away = np.abs(offset[~first].mean(axis=0))
    assert sorted(away) == pytest.approx([0, 200 * mm_per_pixel], abs=1.5 * spacing.max())


def test_opens_volume_and_segmentation_without_a_word_on_stdout_but_the_port(tmp_path):
    image = write_phantom(tmp_path / "Bild ä.nii.gz", "oblique")
    labels = write_drawing(tmp_path / "labels.nrrd", image, [3, 6])

    async def work(running):
        async with browser(running) as page:
            await opened(page)
            await page.until(lambda: [row["index"] for row in page.state["SlicesState__rows"]] == [3, 6])
            assert page.state["data_error"] == ""
            assert not page.state["data_unsaved"]
            assert page.state["volume_name"] == "Bild ä"
            return await page.exported(running)

    with session(tmp_path / "s", volume=tmp_path / "Bild ä.nii.gz", segmentation=tmp_path / "labels.nrrd") as running:
        found = asyncio.run(work(running))
        assert set(running.answer) == {"port"}
        running.process.stdin.close()
        assert running.process.stdout.read() == b""
    painted = painted_indices(found, image).round().astype(int)
    again = np.zeros_like(labels)
    again[painted[:, 2], painted[:, 1], painted[:, 0]] = 1
    np.testing.assert_array_equal(again, labels)


def test_says_in_a_sentence_what_cannot_be_opened(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0004\ntype: short\n\n")

    async def work(running):
        async with browser(running) as page:
            await page.until(lambda: page.state["data_error"])
            return page.state["data_error"]

    with session(tmp_path / "s", volume=tmp_path / "a.nrrd") as running:
        assert re.fullmatch(r".*a\.nrrd .*\.", asyncio.run(work(running)))


@pytest.mark.parametrize("line", ["", "nonsense", "{}", '{"secret": "", "folder": "/"}'])
def test_begins_nothing_without_an_order(line):
    done = subprocess.run(
        [sys.executable, "-m", "SSLSegmentWeb.session"], input=f"{line}\n", capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"].endswith(".")


def test_ends_with_stdin_and_leaves_nothing(tmp_path):
    write_phantom(tmp_path / "a.nrrd", "upright")
    with session(tmp_path / "s", volume=tmp_path / "a.nrrd") as running:

        async def work():
            async with browser(running) as page:
                await opened(page)
                await page.until(lambda: children(running))  # the worker, which the panel asks for its devices

        asyncio.run(work())
        family = [psutil.Process(running.process.pid), *children(running)]
        assert running.end() < END_S, "the gate would have killed it"
        assert running.process.returncode == 0
    assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in family)
    assert not (tmp_path / "s").exists()


def test_training_and_worker_end_when_the_last_browser_has_gone(tmp_path):
    write_phantom(tmp_path / "a.nrrd", "upright")
    with session(tmp_path / "s", volume=tmp_path / "a.nrrd", linger_s=4) as running:

        async def work():
            async with browser(running) as page:
                await opened(page)
                await page.until(lambda: children(running))
                async with browser(running):
                    pass
                await asyncio.sleep(5)
                assert children(running)  # somebody is still there
                await paint(page, "Red", (0, 0))
            await asyncio.sleep(1)
            async with browser(running) as page:
                await asyncio.sleep(4)
                assert children(running)  # came back in time
                await page.until(lambda: page.state["SlicesState__rows"])
                await page.press("train")
                await page.until(lambda: page.state["data_locked"])
            await asyncio.sleep(1)
            assert children(running)
            end = time.monotonic() + 20
            while children(running):
                assert time.monotonic() < end, "the worker goes on although nobody looks"
                await asyncio.sleep(0.1)
            async with browser(running) as page:
                assert [row["title"] for row in page.state["SlicesState__rows"]] == ["Slice 5"]  # the drawing stays
                await page.until(lambda: not page.state["data_locked"])
                await page.until(lambda: "nobody was looking" in json.dumps(page.state))

        asyncio.run(work())


def children(running):
    """The processes that a session has started."""
    return psutil.Process(running.process.pid).children(recursive=True)


def test_the_page_is_ours_and_asks_nobody_else(tmp_path):
    with session(tmp_path / "s") as running:

        async def work():
            async with aiohttp.ClientSession(headers=HEADERS) as client:
                async with client.get(f"{running.url}/index.html") as answer:
                    page, policy = await answer.text(), answer.headers["Content-Security-Policy"]
                async with client.get(f"{running.url}/logo.png") as answer:
                    icon = await answer.read()
            assert "<title>SSLSegment</title>" in page
            assert "http" not in re.sub(r'http-equiv="|https?://www\.w3\.org', "", page)
            assert icon == (ROOT / "Resources" / "SSLSegment.png").read_bytes()
            assert "http" not in policy
            async with browser(running) as tab:
                assert tab.state["trame__title"] == "SSLSegment"
                urls = re.findall(r"https?://[^\s\"'\\]+", json.dumps(tab.state))
                assert not [url for url in urls if not url.startswith("http://www.w3.org/")]

        asyncio.run(work())


@pytest.mark.parametrize("path", ["/", "/index.html", "/ws", "/files/a/b", "/sslsegment/page.js", "/vue.global.js"])
def test_answers_nobody_without_the_secret(path, quiet_session):
    async def work():
        async with aiohttp.ClientSession() as client, client.get(f"{quiet_session.url}{path}") as answer:
            assert answer.status == 403
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await client.ws_connect(f"{quiet_session.url}/ws", headers={"X-SSLSegment-Secret": "wrong"})

    asyncio.run(work())


@pytest.fixture(scope="module")
def quiet_session(tmp_path_factory):
    """A session that has nothing to do."""
    with session(tmp_path_factory.mktemp("quiet") / "s") as running:
        yield running


def test_is_ready_in_time(tmp_path):
    began = time.monotonic()
    with session(tmp_path / "s") as running:
        assert running.answer["port"]
        assert time.monotonic() - began < 10


def test_a_session_that_nobody_looks_at_starts_no_worker(tmp_path):
    write_phantom(tmp_path / "a.nrrd", "upright")
    with session(tmp_path / "s", volume=tmp_path / "a.nrrd") as running:
        time.sleep(4)
        assert not children(running)

        async def work():
            async with browser(running) as page:
                await opened(page)
                await page.until(lambda: children(running))

        asyncio.run(work())


def test_a_fault_in_one_step_ends_nothing_else(capfd):
    steps = []
    for step in (lambda: steps.append(1), lambda: 1 / 0, lambda: steps.append(2)):
        careful(step)
    assert steps == [1, 2]
    assert "ZeroDivisionError" in capfd.readouterr().err
