"""retraind.web.protocols.open_inference_outputs: what is told of an answer in the Open Inference Protocol."""

import bundles
import numpy as np
import pytest
from logged import Named

from retraind.web.http.problems import Problem
from retraind.web.protocols import open_inference_outputs
from retraind.web.protocols.open_inference_outputs import OutputSpec, Requested
from retraind.web.serving.answered_rows import AnsweredRows


def test_no_more_classes_are_returned_than_the_version_that_answered_has() -> None:
    """The champion may have answered for a challenger that knows more of them."""
    answered = AnsweredRows(Named(bundles.CLASSES), np.array([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1]]), "a", 0, 0.1)
    tensor, _ = open_inference_outputs.tensor(answered, OutputSpec("predict_proba", binary=False, best=5))
    assert tensor["shape"] == [2, 3]
    assert tensor["data"][:2] == ["0.500000:0:setosa", "0.300000:2:virginica"]
    assert len(tensor["data"]) == 6


def test_an_output_is_asked_for_once_and_known() -> None:
    for names, complaint in ((["predict", "predict"], "twice"), (["nothing"], "no output")):
        with pytest.raises(Problem) as raised:
            open_inference_outputs.wishes_of(bundles.SCHEMA, [Requested(name=name) for name in names], None)
        assert complaint in raised.value.detail
