"""Installs the packages that the worker needs, when the user asks for it. Nothing happens at import. No Qt."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from subprocess import CalledProcessError

from sslseg.errors import SSLSegError
from SSLSegmentLib.background_job import BackgroundJob, JobState
from SSLSegmentLib.loop_state import Availability
from SSLSegmentLib.requirements import REQUIREMENTS_FILE, TORCH, look_again, missing_packages
from SSLSegmentLib.user_store import UserStore

REQUESTER = "SSLSegment"
AGREED = "SSLSegment/InstallAgreed"
EXTENSION_MODULE = "PyTorchUtils"

NO_EXTENSION = (
    "Install the extension 'PyTorch' with the Extensions Manager and restart Slicer: it knows which PyTorch fits this "
    "computer."
)


class Installer(BackgroundJob):
    """Installs what is missing: PyTorch through the PyTorch extension, the rest by ``slicer.packaging``.

    Everything runs on the main thread, with Slicer's own progress window, inside :meth:`start`. If Slicer has to be
    restarted on the way, :attr:`pending` is true afterwards, and :meth:`start` goes on without asking again.

    Args:
        store: remembers over a restart that the user has agreed.
        ask: shows a question and returns whether the user agreed.
        on_changed: called after anything that a panel shows may have changed.
    """

    def __init__(self, store: UserStore, ask: Callable[[str], bool], on_changed: Callable[[], None]) -> None:
        super().__init__(on_changed)
        self._store = store
        self._agrees = ask

    @property
    def needed(self) -> bool:
        """Whether anything is missing."""
        return bool(missing_packages())

    @property
    def pending(self) -> bool:
        """Whether an installation that the user agreed to is not complete yet."""
        return self.needed and bool(self._store.value(AGREED, ""))

    @property
    def first_step(self) -> str:
        """What the user has to do first, for the top of a panel; empty where nothing is missing."""
        if not self.needed:
            return ""
        blocked = self.availability().reasons
        if blocked:
            return blocked[0]
        if self.pending:
            return f"The installation is not complete ({_titles()} missing): press the button to go on."
        return f"Training needs packages that are not installed yet ({_titles()}): press the button."

    @property
    def question(self) -> str:
        """What will be installed and how large it is."""
        packages = "\n".join(f"- {package.title}: {package.size}" for package in missing_packages())
        return (
            "SSLSegment needs these packages, which will be downloaded and installed into Slicer's own Python:\n"
            f"{packages}\n"
            "This takes some minutes, and Slicer may have to be restarted. Install them now?"
        )

    def availability(self, action: str = "start") -> Availability:
        """What is missing for "start": the PyTorch extension, or nothing is left to install."""
        if action == "cancel":
            return self._for_cancel("An installation")
        if not self.needed:
            return Availability(("Everything is installed.",))
        if self._needs_torch() and importlib.util.find_spec(EXTENSION_MODULE) is None:
            return Availability((NO_EXTENSION,))
        return Availability()

    def start(self) -> None:
        """Ask, and install. How it ended is told by ``state`` (``CANCELLED`` where the user declined) and ``error``.

        Raises:
            InputError: nothing is missing, or the PyTorch extension is.
        """
        look_again()
        self._require(self.availability())
        if not self.pending and not self._agrees(self.question):
            self._enter(JobState.CANCELLED)
            return
        self._store.setValue(AGREED, "yes")  # before the work: it may end in a restart of Slicer
        self._begin("installing")
        try:
            self._install()
        except SSLSegError as error:
            self._enter(JobState.FAILED, error)
        else:
            self._store.remove(AGREED)
            self._enter(JobState.DONE)
        finally:
            look_again()

    def cancel(self) -> None:
        """Nothing: Slicer's progress window is in front while packages are installed."""

    def look_again(self) -> None:
        """See what is missing now; to be called when a panel is opened, for packages come by other ways, too."""
        look_again()
        if not self.needed:
            self._store.remove(AGREED)
        self._on_changed()

    def _install(self) -> None:
        """Through the PyTorch extension, which loads torch into this process to see that it works, and through pip."""
        try:
            packaging = importlib.import_module("slicer.packaging")
        except ImportError as error:
            raise SSLSegError("This Slicer cannot install packages: update it to version 5.12 or later.") from error
        try:
            if self._needs_torch():
                self._say("Installing PyTorch.")
                logic = importlib.import_module(EXTENSION_MODULE).PyTorchUtilsLogic()
                logic.installTorch(askConfirmation=False, torchVersionRequirement=str(TORCH.specifier))
            self._say("Installing the other packages.")
            requirements = packaging.load_requirements(str(REQUIREMENTS_FILE))
            packaging.pip_ensure(requirements, prompt_install=False, requester=REQUESTER)
        except (CalledProcessError, OSError, RuntimeError, ValueError, ImportError) as error:
            raise SSLSegError(
                f"The packages could not be installed ({_reason(error)}): check the connection to the internet and "
                "the free space on the disk, then press the button again."
            ) from error
        look_again()
        if self.needed:
            raise SSLSegError(f"Still missing: {_titles()}. Restart Slicer, then press the button again.")

    def _say(self, message: str) -> None:
        self.messages.append(message)
        self._on_changed()

    @staticmethod
    def _needs_torch() -> bool:
        return any(package.requirement == TORCH for package in missing_packages())


def _titles() -> str:
    return ", ".join(package.title for package in missing_packages())


def _reason(error: Exception) -> str:
    if isinstance(error, CalledProcessError):
        return f"pip ended with exit code {error.returncode}"
    return (str(error).strip() or type(error).__name__).splitlines()[-1].rstrip(".")
