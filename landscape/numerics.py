"""The version of the numbers that this package computes.

`NUMERICS` is part of the key of every surface. It is raised, with a line in the changelog, whenever a change of the
code may change a computed number beyond rounding: surfaces from before are then never mixed with new ones.
"""

from __future__ import annotations

NUMERICS = 1
