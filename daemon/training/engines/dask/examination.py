"""An examination of a scheduler for people: whether it answers, and which workers could compute a training's tasks."""

import time
from queue import Empty

from retraind.daemon.training.engines.dask import installed
from retraind.daemon.training.engines.dask.client import Cluster, Greeted
from retraind.daemon.training.engines.dask.crew import NO_NANNY
from retraind.daemon.training.engines.dask.messages import Workers
from retraind.daemon.training.engines.dask.place import Place

SECONDS = 10.0
"""Seconds for the scheduler to answer, and then for its workers."""

SILENT = f"it has not answered for {SECONDS:g} s."


def look(place: Place) -> Workers:
    """The workers that could be used, and why others could not; raises Unreachable. It ends nothing that runs there."""
    cluster = Cluster(place, "doctor", SECONDS)
    try:
        present = cluster.workers()
        for address in present:
            cluster.greet(address)
        unfit = dict.fromkeys(present, SILENT)
        processors = set()
        for news in _greetings(cluster, len(present)):
            if isinstance(news.said, str):
                unfit[news.address] = news.said
            elif news.said is not None:
                unfit[news.address] = installed.objection(news.said.versions, installed.versions())
                processors.add(news.said.processor)
    finally:
        cluster.close()
    unfit |= {address: NO_NANNY for address, threads in present.items() if not threads}
    fit = [address for address in present if not unfit[address]]
    reasons = {address: reason for address, reason in unfit.items() if reason}
    return Workers(sum(present[address] for address in fit), len(fit), reasons, frozenset(processors))


def _greetings(cluster: Cluster, count: int) -> list[Greeted]:
    """The answers of so many workers, or of those that answer in time."""
    deadline, answers = time.monotonic() + SECONDS, list[Greeted]()
    while len(answers) < count:
        try:
            news = cluster.news.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        if isinstance(news, Greeted):
            answers.append(news)
    return answers
