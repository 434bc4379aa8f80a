"""Training and prediction with progress, Ctrl-C and a closing sentence, as all commands run them."""

from __future__ import annotations

from collections.abc import Sequence

from sslseg.console import Output, duration
from sslseg.errors import SSLSegError
from sslseg.finetune import Case, FinetuneResult, finetune
from sslseg.model import Model
from sslseg.predict import Prediction, predict
from sslseg.settings import Settings
from sslseg.volume import Volume

_STOPPED = {
    "time limit": "The time limit ended the training; the best model so far is kept.",
    "request": "The training was stopped; the best model so far is kept.",
}


def train(output: Output, cases: Sequence[Case], settings: Settings) -> FinetuneResult:
    """Fine-tune; Ctrl-C leaves the best model so far. Raises what :func:`sslseg.finetune.finetune` raises."""
    with output.job() as (on_progress, should_stop):
        result = finetune(cases, settings, on_progress=on_progress, should_stop=should_stop)
    output.say(f"Trained {result.steps} steps in {duration(result.seconds)} on {result.device}.")
    if result.stopped in _STOPPED:
        output.say(_STOPPED[result.stopped])
    return result


def segment(output: Output, model: Model, image: Case | Volume, device: str) -> Prediction:
    """Segment an image, using what is annotated in it where that is known.

    Raises:
        SSLSegError: stopped by Ctrl-C; there is no half segmentation.
    """
    case = None if isinstance(image, Volume) else image
    volume = image if isinstance(image, Volume) else image.volume
    with output.job() as (on_progress, should_stop):
        prediction = predict(
            model,
            volume,
            annotation=case.annotation if case else None,
            axis=case.axis if case else None,
            device=device,
            on_progress=on_progress,
            should_stop=should_stop,
        )
    if prediction.stopped == "request":
        raise SSLSegError(f"Stopped before {volume.name} was segmented: no segmentation of it was written.")
    return prediction
