"""Versions are traced, reproduced and forgotten while the service works."""

import json
from pathlib import Path
from typing import Any

import pytest
from running import retraind
from service import Service, flowers, wait_until

from retraind.daemon.core.errors import Exit


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_service_goes_on_while_a_version_is_traced_reproduced_and_forgotten(tmp_path: Path, served: Path) -> None:
    """A drop is forgotten: a training follows by itself; the new version has not seen it, lineage says so, both reproduce."""
    service = Service(tmp_path / "home").copied(served).start()
    try:
        first = service.wait_served(1)["model_version"]
        service.drop("poison.csv", flowers(5, 30))
        service.wait_served(first + 1)
        service.wait_ingested()
        poisoned = service.ask("/versions")[1]["versions"][0]["version"]
        reproduced = retraind("reproduce", poisoned, "--json", home=service.home)
        assert (reproduced.returncode, json.loads(reproduced.stdout)["equal"]) == (Exit.OK, "bit for bit"), (
            reproduced.stderr
        )
        asked = json.loads(retraind("forget", "poison.csv", "--json", home=service.home).stdout)["request"]
        wait_until(lambda: service.ask(f"/requests/{asked}")[1].get("state") == "done", what="the drop to be forgotten")
        clean = wait_until(lambda: newest(service, after=poisoned), what="a version without it")
        assert sum(service.rows().values()) == 150
        assert clean["trigger"] == "rows were forgotten"
        chain = service.ask(f"/versions/{clean['version']}")[1]
        assert [drop["name"] for drop in chain["drops"]["newest"]] == ["iris.csv"]
        assert chain["batches"]["newest"][0]["kind"] == "forget"
        drop = service.ask("/drops/poison.csv")[1]
        assert drop["state"] == "forgotten"
        assert clean["version"] not in [one["version"] for one in drop["taught"]["newest"]]
        assert poisoned in [one["version"] for one in drop["taught"]["newest"]]
        done = retraind("reproduce", clean["version"], home=service.home)
        assert done.returncode == Exit.OK, done.stderr
        assert done.stdout.startswith(f"equal bit for bit: version {clean['version']}")
        assert service.predict() is not None
        assert "forgotten" in service.ask("/dashboard")[1]
        assert service.ask("/health")[0] == 200
    finally:
        service.end()


def newest(service: Service, after: int) -> dict[str, Any] | None:
    """The newest judged version, if it came after another one."""
    [newest_version, *_] = service.ask("/versions")[1]["versions"]
    return dict(newest_version) if newest_version["version"] > after else None
