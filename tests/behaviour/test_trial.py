"""A whole service in manual mode: the challenger is held, tried on real requests, and refused by a person."""

from pathlib import Path

import pytest
from service import Service, flowers, wait_until

from retraind.daemon.records.records import Records

FLOWER = {"features": [5.1, 3.5, 1.4, 0.2]}
SETTINGS = {"RETRAIND_PROMOTE__MODE": "manual", "RETRAIND_PROMOTE__CANARY_SHARE": "1"}


@pytest.mark.slow
def test_a_challenger_is_tried_until_a_person_decides(tmp_path: Path, served: Path) -> None:
    service = Service(tmp_path / "home", **SETTINGS).copied(served).start()
    try:
        service.wait_served()
        records = Records(service.home)
        service.drop("more.csv", flowers(1, 60))
        held = wait_until(
            lambda: records.versions.aliases()["challenger"], what=f"a held version: {service.log()[-1500:]}"
        )

        def canary() -> int:
            return int(service.ask("/predict", FLOWER, **{"X-Routing-Key": "customer"})[1]["model_version"])

        wait_until(lambda: canary() == held, what="the challenger to answer")
        for _ in range(20):
            assert service.ask("/predict", FLOWER)[1]["model_version"] == 1
        compared = wait_until(lambda: records.versions.agreements(1, [held]).get(held), what="an agreement")
        assert compared["n"] > 0
        assert service.ask(f"/predict?version={held}", FLOWER)[1]["model_version"] == held
        assert service.ask("/refuse", {})[0] == 202
        wait_until(lambda: canary() == 1, what="the champion to answer again")
        assert records.versions.get(held)["state"] == "refused"  # type: ignore[index]
        counted = {row["version"]: row["shadow"] for row in service.ask("/versions")[1]["versions"]}
        assert counted[held]["n"] >= compared["n"]
        assert service.ask(f"/predictions/history?version={held}")[1]["count"] > 0
    finally:
        service.end()
