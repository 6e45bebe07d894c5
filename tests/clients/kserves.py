"""KServe's own REST client asks a server on 127.0.0.1, in both protocols, and prints as JSON what it understood.

Runs in the environment of `kserves.lock`. Standard input says what to do: the server's address and the example of the page.
"""

import asyncio
import contextlib
import io
import json
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput

ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.9, 3.1, 5.4, 2.1]])
MODEL = "retraind"


async def refused(call):
    try:
        await call
    except httpx.HTTPStatusError as error:
        return str(error)
    return "not refused"


async def first(url):
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        return {
            "live": await client.is_server_live(url),
            "ready": await client.is_model_ready(url, MODEL),
            "rows": await client.infer(url, {"instances": ROWS.tolist()}, model_name=MODEL),
            "columns": await client.infer(url, {"inputs": ROWS.tolist()}, model_name=MODEL),
            "refused": await refused(client.infer(url, {"instances": [[1, 2, 3]]}, model_name=MODEL)),
            "unknown": await refused(client.is_model_ready(url, "other")),
        }


async def second(url):
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        answers = {}
        for binary in (False, True):
            tensor = InferInput("x", list(ROWS.shape), "FP64")
            tensor.set_data_from_numpy(ROWS, binary_data=binary)
            outputs = [
                RequestedOutput(name, {"binary_data": binary}) for name in ("predict", "predict_proba", "prediction_id")
            ]
            request = InferRequest(MODEL, [tensor], request_id="mine", request_outputs=outputs)
            answer = await client.infer(url, request, model_name=MODEL)
            labels, shares, ids = answer.outputs
            answers["binary" if binary else "json"] = {
                "id": answer.id,
                "version": answer.model_version,
                "predict": [one.decode() if isinstance(one, bytes) else one for one in labels.as_numpy().tolist()],
                "predict_proba": shares.as_numpy().ravel().tolist(),
                "ids": len(ids.data),
            }
        wrong = InferInput("y", [1, 3], "FP64", [1.0, 2.0, 3.0])
        return {
            **answers,
            "live": await client.is_server_live(url),
            "ready": [await client.is_server_ready(url), await client.is_model_ready(url, MODEL)],
            "unknown": await client.is_model_ready(url, "other"),
            "refused": await refused(client.infer(url, InferRequest(MODEL, [wrong]), model_name=MODEL)),
        }


async def both(url):
    return {"v1": await first(url), "v2": await second(url)}


def shown(code):
    """What a program prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, "page", "exec"), {"__name__": "__main__"})
    return out.getvalue()


if __name__ == "__main__":
    JOB = json.load(sys.stdin)
    ANSWERS = {**asyncio.run(both(f"http://{JOB['flowers']}")), "page": shown(JOB["page"])}
    print(json.dumps(ANSWERS))
