"""Where cores sit: tiles on the mesh of a chip, chips on a board.

Cores are numbered from the input of the network to its output. Tiles are filled along the rows of the mesh, to and
fro, so that consecutive cores are neighbours; chips form a near-square grid that is filled the same way. A message
travels along columns and rows (dimension-order routing), so its hops are the Manhattan distance.
"""

import math

import numpy as np
from numpy.typing import NDArray

from deploy.energy.mapping.limits import Capacities

Places = NDArray[np.int64]
"""(n, 2): column and row."""


def to_and_fro(numbers: NDArray[np.int64], columns: int) -> Places:
    """Column and row of each number when rows of ``columns`` are filled, every other one backwards."""
    row, along = np.divmod(numbers, columns)
    return np.stack([np.where(row % 2, columns - 1 - along, along), row], axis=1)


def chip_places(cores: int, capacities: Capacities) -> Places:
    """Place of each core's chip in the grid of chips, (cores, 2)."""
    chips = math.ceil(cores / capacities.cores_per_chip)
    return to_and_fro(np.arange(cores) // capacities.cores_per_chip, math.ceil(math.sqrt(chips)))


def tile_places(cores: int, capacities: Capacities) -> Places | None:
    """Place of each core's tile, counted across chips, (cores, 2); ``None`` where the profile describes no mesh."""
    if capacities.mesh is None:
        return None
    tiles = np.arange(cores) % capacities.cores_per_chip // capacities.cores_per_tile
    return to_and_fro(tiles, capacities.mesh[0]) + chip_places(cores, capacities) * np.array(capacities.mesh)


def distances(places: Places, origins: Places) -> NDArray[np.int64]:
    """(n,) Manhattan distance of each place from its origin."""
    apart: NDArray[np.int64] = np.abs(places - origins).sum(axis=1)
    return apart
