"""Mixing of fingerprints of 64 bits, with numpy alone."""

import numpy as np
from numpy.typing import NDArray

Prints = NDArray[np.uint64]


def together(*parts: Prints) -> Prints:
    """Combine several fingerprints (n,) into one; the order matters."""
    prints = np.zeros_like(parts[0])
    with np.errstate(over="ignore"):
        for part in parts:
            prints = splitmix(prints * np.uint64(3) + part)
    return prints


def splitmix(state: Prints) -> Prints:
    """Map each number of `state` (n,) to a well mixed number, one to one."""
    # The output function of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
    with np.errstate(over="ignore"):
        state = state * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))
