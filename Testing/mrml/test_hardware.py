"""The devices and the time of a training: measured by a real worker when nothing else runs, and kept."""

import pytest
from loop_driver import fast_settings
from test_loop_faults import DEAF

from sslseg import __version__
from SSLSegmentLib.background_job import JobState
from SSLSegmentLib.user_store import MemoryStore


def ready(*devices):
    """A worker that says it has ``devices``, and answers nothing."""
    listed = ", ".join(f'{{"name": "{name}", "description": "{words}"}}' for name, words in devices)
    return DEAF.replace('"devices": []', f'"devices": [{listed}]')


CPU = ("cpu", "CPU, 4 threads")
CUDA = ("cuda:0", "CUDA: Tesla größer, 16 GiB")
NOT_MEASURED = "CPU only: not measured yet"


def known(seconds, *, preset="fast", network="scratch"):
    """A store that knows how long a training takes."""
    store = MemoryStore()
    store.setValue(f"SSLSegment/TrainingSeconds/{__version__}/{CPU[1]}/{preset}/{network}", seconds)
    return store


def looked(driver):
    driver.loop.worker.start()
    driver.poll_until(lambda: driver.loop.worker.ready)
    return driver.loop.hardware


@pytest.mark.slow
def test_a_measurement_from_the_start_to_the_next_time(new_driver, patient):
    store = MemoryStore()
    driver = new_driver(store=store)
    hardware = driver.loop.hardware
    assert hardware.text == "Not looked for yet."
    assert [choice.value for choice in hardware.choices()] == ["auto", "cpu"]
    driver.do("hardware.start")
    assert hardware.text == "Looking for devices…"
    driver.poll_until(lambda: hardware.state.busy)
    assert hardware.text.endswith(": measuring…")
    patient.open_in(driver)
    driver.begin_training()  # the training goes first
    assert not hardware.state.busy
    assert not hardware.text.endswith("measuring…")
    driver.do("stop")
    driver.poll_until(lambda: not driver.loop.state.busy)
    driver.poll_until(lambda: hardware.state is JobState.DONE)
    assert hardware.text.startswith("CPU only: expect about ")
    measured = hardware.text
    driver.loop.settings.preset = "balanced"
    driver.poll_until(lambda: hardware.state.busy)
    driver.loop.settings.preset = "fast"
    driver.do("hardware.cancel")
    driver.poll_until(lambda: not hardware.state.busy)
    assert hardware.text == measured

    device = driver.loop.worker.devices[-1]
    later = new_driver(ready((device["name"], device["description"])), store=store)
    assert looked(later).text == measured


def test_nothing_is_measured_unless_it_is_wanted(new_driver):
    driver = new_driver(ready(CPU))
    hardware = looked(driver)
    for _ in range(5):
        driver.do("poll")
    assert hardware.state is JobState.IDLE
    assert hardware.text == NOT_MEASURED


@pytest.mark.parametrize(
    ("devices", "device", "text"),
    [
        ([CPU], "auto", "CPU only: expect about 40 s"),
        ([CPU], "cpu", "CPU only: expect about 40 s"),
        ([CUDA, CPU], "auto", CUDA[1]),
        ([CUDA, CPU], "cuda", CUDA[1]),
        ([CUDA, CPU], "cuda:0", CUDA[1]),
        ([CUDA, CPU], "cpu", "CPU: expect about 40 s"),
        ([CPU], "cuda:0", "Device 'cuda:0' is not there: choose another one."),
        ([("mps", "Apple GPU (Metal)"), CPU], "auto", "Apple GPU (Metal)"),
    ],
)
def test_the_chosen_device_is_told(new_driver, devices, device, text):
    driver = new_driver(ready(*devices), settings=fast_settings(device=device), store=known("40.2"))
    assert looked(driver).text == text


@pytest.mark.parametrize(
    "changes", [{"preset": "accurate"}, {"weights": "gone.safetensors"}, {"preset": "no such preset"}]
)
def test_no_time_is_told_that_was_not_measured(new_driver, changes):
    driver = new_driver(ready(CPU), settings=fast_settings(**changes), store=known("40.2"))
    assert "expect" not in looked(driver).text


@pytest.mark.parametrize("kept", ["", "nonsense", None])
def test_a_store_that_was_tampered_with_says_nothing(new_driver, kept):
    driver = new_driver(ready(CPU), store=known(kept))
    assert looked(driver).text == NOT_MEASURED


def test_the_list_shows_what_was_found_and_what_is_chosen(new_driver):
    driver = new_driver(ready(CUDA, CPU), settings=fast_settings(device="cuda:3"))
    choices = looked(driver).choices()
    assert [choice.value for choice in choices] == ["auto", "cuda:0", "cpu", "cuda:3"]
    assert [choice.title for choice in choices] == ["Automatic", CUDA[1], CPU[1], "cuda:3"]
    assert "not found" in choices[-1].tooltip


FAILING = ready(CPU).replace(
    "    pass", '    print(\'{"id": 1, "event": "error", "message": "too large"}\', flush=True)'
)


def test_a_failed_measurement_is_not_repeated(new_driver):
    driver = new_driver(FAILING)
    hardware = driver.loop.hardware
    driver.do("hardware.start")
    driver.poll_until(lambda: hardware.state is JobState.FAILED)
    assert hardware.last_error == "too large"
    for _ in range(5):
        driver.do("poll")
    assert hardware.state is JobState.FAILED
    assert hardware.text == "CPU only: could not be measured"


DYING = ready(CPU).replace("    pass", "    sys.exit(3)")


def test_a_worker_that_dies_ends_the_measurement(new_driver):
    driver = new_driver(DYING)
    hardware = driver.loop.hardware
    driver.do("hardware.start")
    driver.poll_until(lambda: hardware.state.busy)
    driver.poll_until(lambda: not hardware.state.busy)
    assert driver.loop.messages
    assert hardware.text == "Not looked for yet."
