"""retraind.daemon.core.garbage_collector: imports are not looked through for garbage, and everything else is."""

import gc

import pytest

from retraind.daemon.core import garbage_collector


def failing() -> None:
    """An import that fails."""
    with garbage_collector.importing():
        assert not gc.isenabled()
        raise ModuleNotFoundError


def test_collector_pauses_for_imports_and_no_longer() -> None:
    """Also when one fails; what there is by then is passed over from then on."""
    try:
        with pytest.raises(ModuleNotFoundError):
            failing()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
