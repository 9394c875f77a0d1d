"""What stored codes stand for: NumPy only, no layer and no training."""

from keras_compress.grids.affine_grid import AffineGrid
from keras_compress.grids.levels_grid import LevelsGrid
from keras_compress.grids.power_grid import PowerGrid
from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.grids.table_grid import TableGrid

__all__ = ["AffineGrid", "LevelsGrid", "PowerGrid", "QuantizedMatrix", "TableGrid"]
