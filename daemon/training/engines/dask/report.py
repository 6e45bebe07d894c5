"""The finding of `retraind doctor` on the Dask scheduler that compares candidates (`train.engine = "dask"`)."""

from importlib.util import find_spec

from retraind.daemon.core import settings
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.training.engines.dask.messages import Workers
from retraind.daemon.training.engines.dask.place import Place

INSTALL = "Install the extra: pip install 'retraind[dask]'."
HERE = "Until then candidates are compared on this machine; docs/beyond-one-machine.md, Trainings on other machines."


def describe(home: Home) -> str:
    """What answers there; raises RetraindError if trainings can't use the scheduler, or some of its workers."""
    train = settings.load(home.settings).train
    if find_spec("distributed") is None:
        raise RetraindError(f'train.engine = "dask" needs the package distributed. {INSTALL}', hint=HERE)
    from retraind.daemon.training.engines.dask import examination
    from retraind.daemon.training.engines.dask.client import Unreachable

    try:
        workers = examination.look(Place.of(train, home.root))
    except Unreachable as error:
        raise RetraindError(str(error), hint=HERE) from None
    return summary(train.scheduler, workers)


def summary(address: str, workers: Workers) -> str:
    """What answers at an address; raises RetraindError if no worker can be used, or not all."""
    refused = "; ".join(f"{name}: {reason}" for name, reason in sorted(workers.unfit.items()))
    count = len(workers.unfit) + workers.workers
    if not count:
        raise RetraindError(f"{address} has no worker.", hint=HERE)
    if refused:
        raise RetraindError(f"{len(workers.unfit)} of {count} workers can't be used. {refused}"[:1000])
    return f"{address} answers; its workers ({count}, threads: {workers.threads}) have the packages of this machine."
