"""The kinds of grids a file may name."""

from __future__ import annotations

from keras_compress.grids.affine_grid import AffineGrid
from keras_compress.grids.grid import Grid
from keras_compress.grids.levels_grid import LevelsGrid
from keras_compress.grids.power_grid import PowerGrid
from keras_compress.grids.table_grid import TableGrid

#: Grid classes by their names in files.
KINDS: dict[str, type[Grid]] = {
    kind.kind: kind for kind in (AffineGrid, LevelsGrid, PowerGrid, TableGrid)
}
