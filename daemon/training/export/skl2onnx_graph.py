"""skl2onnx: the graphs of other packages' estimators.

The only module that uses skl2onnx. It is imported only when such an estimator competes, because it loads nearly all of
scikit-learn.
"""

from typing import Any

from onnx import ModelProto
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.base import is_regressor

from retraind.daemon.training.export.onnx_nodes import OPSET


def convert(estimator: Any, width: int, *, double: bool) -> ModelProto:
    """The graph of a fitted estimator for rows (n, width) in double or single precision; passes on errors of skl2onnx."""
    types = [("rows", (DoubleTensorType if double else FloatTensorType)([None, width]))]
    options = None if is_regressor(estimator) else {"zipmap": False}
    made: ModelProto = to_onnx(estimator, initial_types=types, options=options, target_opset=OPSET)
    return made
