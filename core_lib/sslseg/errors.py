"""The package's own exceptions. Every message is one sentence that names what is wrong and what to do."""


class SSLSegError(Exception):
    """Base of every error that sslseg raises on purpose. The command line ends with exit code 1."""

    exit_code = 1


class InputError(SSLSegError):
    """A file, an argument or an annotation that cannot be used as it is. The command line ends with exit code 2."""

    exit_code = 2


class CheckpointError(InputError):
    """A model or weights file that does not fit; the message says which key differs and what was expected."""


class DeviceError(InputError):
    """A compute device that was asked for by name and is not there."""


class OutputError(SSLSegError):
    """A result that could not be written (disk full, no permission). Nothing half-written stays behind."""


class TrainingError(SSLSegError):
    """Training could not go on, for example because the loss became NaN."""
