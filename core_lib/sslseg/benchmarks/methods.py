"""What completes a volume from a few annotated slices: SSLSegment itself, its parts, and the peers that are installed.

A peer is a function from a case to class indices, published as an entry point of the group ``sslseg.peers`` by another
package: the core knows none of them by name.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

import numpy as np

from sslseg.benchmarks.own_methods import OWN, Completed, OwnSettings
from sslseg.errors import InputError
from sslseg.finetune import Case

PEERS = "sslseg.peers"

Peer = Callable[[Case], np.ndarray]
"""uint8 (K, J, I) class indices of all voxels; what is annotated may be given back as it likes."""


def peer_names() -> list[str]:
    """The names of the peers that are installed, without importing them."""
    return sorted(entry.name for entry in entry_points(group=PEERS))


def complete(name: str, case: Case, settings: OwnSettings) -> Completed:
    """Run one method, by its name in :data:`OWN` or among the peers."""
    if name in OWN:
        return OWN[name](case, settings)
    return Completed(peer(name)(case))


def peer(name: str) -> Peer:
    """One of :func:`peer_names`, with what it needs imported.

    Raises:
        InputError: what it needs is not installed.
    """
    (entry,) = entry_points(group=PEERS, name=name)
    try:
        found: Peer = entry.load()
    except ModuleNotFoundError as error:
        raise InputError(
            f"The method {name} needs the package {error.name}: install sslsegment[benchmark], or leave it out by "
            "--methods."
        ) from error
    return found


def legend(name: str) -> str:
    """What a method is, in a sentence."""
    function = OWN.get(name) or peer(name)
    return (function.__doc__ or name).strip().splitlines()[0]
