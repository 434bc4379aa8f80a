"""Several processes get the loss and the gradient that one process gets from the joined batch."""

import datetime as dt

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from sslseg.losses import pix2rep
from sslseg.losses.barlow import PixelBarlowTwins
from sslseg.losses.hierarchical import GroupSupCon, HierarchicalLoss, ImageNTXent, LevelWeights, TaskClassification
from sslseg.losses.pix2rep import PixelInfoNCE

pytestmark = pytest.mark.slow  # starts processes that import torch

INPUTS, FEATURES, TASKS = 4, 3, 3
SPLITS = ((5, 5), (6, 3), (1, 9), (4, 0), (0, 4), (2, 5, 3))
"""How many images each process has: as many processes as there are numbers."""
BLOCK = 20
"""Similarities at once: few enough that the processes have several blocks, and not equally many."""

LEVELS = {
    "pix2rep": PixelInfoNCE,
    "barlow": lambda: PixelBarlowTwins(0.1),
    "image": ImageNTXent,
    "task": lambda: TaskClassification(FEATURES, TASKS),
    "group": GroupSupCon,
    "hierarchical": lambda: HierarchicalLoss(FEATURES, TASKS, LevelWeights(1, 0.5, 2)),
}


class Objective(nn.Module):
    """A network and a loss of its features: what is wrapped by DDP."""

    def __init__(self, name):
        super().__init__()
        torch.manual_seed(3)
        self.name = name
        self.network = nn.Sequential(nn.Linear(INPUTS, 6), nn.Tanh(), nn.Linear(6, FEATURES))
        self.loss = LEVELS[name]()
        self.double()

    def forward(self, first, second, tasks, groups):
        first, second = self.network(first), self.network(second)
        if self.name == "hierarchical":
            return self.loss(first, second, tasks, groups)[0]
        if self.name == "task":
            return self.loss(first, tasks)
        if self.name == "group":
            return self.loss(first, groups)
        return self.loss(first, second)


def make_batch(n):
    """Images of two views, tasks, groups; in group 8 is one image only."""
    generator = torch.Generator().manual_seed(n)
    views = [torch.randn(n, INPUTS, generator=generator, dtype=torch.float64) for _ in range(2)]
    return [*views, torch.arange(n) % TASKS, torch.tensor([8, *[5, 7, 5] * n])[:n]]


def measure(objective, batch):
    """The loss, and the gradient of every parameter."""
    loss = objective(*batch)
    loss.backward()
    return loss.detach(), [parameter.grad for parameter in objective.parameters()]


def take_part(rank, world, folder):
    """What each process does: all cases, one after the other."""
    torch.set_num_threads(1)
    pix2rep.BLOCK = BLOCK
    store = distributed.FileStore(str(folder / "store"), world)
    limit = dt.timedelta(seconds=60)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=limit)
    found = {}
    for name in LEVELS:
        for split in splits(world):
            batch = [part.split(split)[rank] for part in make_batch(sum(split))]
            found[name, split] = measure(DistributedDataParallel(Objective(name)), batch)
    found["refused"] = [refusal(LEVELS[name]()) for name in ("pix2rep", "barlow")]
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


def splits(world):
    """The splits over so many processes."""
    return [split for split in SPLITS if len(split) == world]


def refusal(loss):
    """What a loss says of a batch that no process has anything of."""
    try:
        loss(torch.zeros(0, FEATURES), torch.zeros(0, FEATURES))
    except ValueError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What two and three processes have measured, by their number."""
    measured = {}
    for world in (2, 3):
        folder = tmp_path_factory.mktemp("processes ü")
        multiprocessing.spawn(take_part, (world, folder), nprocs=world)
        measured[world] = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]
    return measured


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize("name", LEVELS)
def test_processes_are_one_with_the_joined_batch(found, name, split):
    expected, gradient = measure(Objective(name), make_batch(sum(split)))
    assert expected > 0
    assert max(part.abs().max() for part in gradient) > 1e-3
    for loss, parts in (process[name, split] for process in found[len(split)]):
        torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
        torch.testing.assert_close(parts, gradient, rtol=1e-9, atol=1e-13)


def test_what_no_process_has_is_refused_by_all(found):
    for process in found[2] + found[3]:
        assert all("or more" in message for message in process["refused"])
