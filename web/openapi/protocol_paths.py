"""The endpoints of MLflow, Open Inference V2, TensorFlow Serving and KServe V1 as paths of an OpenAPI document.

JSON Schema can't express that shape, names and values of a request must match; these schemas have the rest.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from retraind.daemon.artifacts.manifest import MODEL
from retraind.daemon.schema.schema import Schema
from retraind.web.columnar.formats import MEDIA_TYPES
from retraind.web.http.payload import CSV
from retraind.web.http.reply import JSON
from retraind.web.openapi import model_columns, operations
from retraind.web.openapi import schemas as contents
from retraind.web.openapi.operations import MLFLOW, SIMPLE, answer, body, header, place
from retraind.web.openapi.own_paths import VERSION_HEADER, choosing
from retraind.web.openapi.schemas import TEXT, VERSION, Json, array, maybe, record, ref
from retraind.web.predict import ALIASES
from retraind.web.protocols import mlflow, open_inference, open_inference_outputs, tensors

V2, V1, MLFLOW_TAG = "Open Inference Protocol V2", "KServe V1, TensorFlow Serving", "MLflow"
TAGS = {
    MLFLOW_TAG: "The endpoints of MLflow's scoring server.",
    V2: "With binary tensors, for the clients of KServe, Triton, MLServer and others.",
    V1: "Rows or columns, for clients of KServe's V1 and of TensorFlow Serving's REST API.",
}

BINARY = "application/octet-stream"
POSTED = (403, 404, 408, 413, 415, 507)
NAME = place("name", {"type": "string", "enum": [MODEL]}, "The name of the only model.")
NUMBER = place("version", {"type": "integer", "minimum": 1, "maximum": 999_999_999}, "The number of a version.")
LABEL = place("label", {"type": "string", "enum": [*ALIASES]}, "An alias of a version.")
SIGNATURES = [None, "", "serving_default", mlflow.PREDICT]
COLUMNS: Json = {"type": "object"}


def paths(model: Schema | None) -> dict[str, Json]:
    """All protocol paths, for a served model with this schema; None while no model is served."""
    return {**_mlflow(model), **_v2(model), **_v1(model)}


def schemas(model: Schema | None) -> dict[str, Json]:
    """The schemas that these paths refer to, by name."""
    template = "#/components/schemas/{model}"
    request = open_inference.Request.model_json_schema(ref_template=template)
    parts = request.pop("$defs")
    parts["Tensor"]["properties"]["datatype"]["enum"] = [*tensors.JSON_TYPES]
    if model:
        parts["Requested"]["properties"]["name"]["enum"] = [*open_inference_outputs.outputs_of(model)]
    output = {"name": TEXT, "shape": array({"type": "integer"}), "datatype": {"enum": [*tensors.JSON_TYPES]}}
    inferred = {"model_name": TEXT, "model_version": TEXT, "id": TEXT, "outputs": array(record("An output.", output))}
    common = {"model_version": VERSION, "prediction_ids": array(TEXT)}
    return {
        "Error": record("An error.", {"error": TEXT}),
        "MlflowError": record("An error.", {"error_code": TEXT, "message": TEXT}),
        "InferRequest": request,
        **parts,
        "InferResponse": record("The outputs, all in JSON unless `binary_data` was requested.", inferred, "id"),
        "Invoked": record("A prediction for each row.", {"predictions": array({}), **common}),
        "Rows": {"type": "array", "items": ref("Row"), "minItems": 1},
        "Columns": _columns(model),
        "Table": {"anyOf": [ref("Columns"), ref("Rows")]},
        "OpenRows": {
            "type": "array",
            "items": _open(model_columns.row(model) if model else model_columns.ANY_ROW),
            "minItems": 1,
        },
        "OpenTable": {"anyOf": [_open(_columns(model)), ref("OpenRows")]},
    }


def _columns(model: Schema | None) -> Json:
    """Values by column: a list each, or (one row) a value each."""
    if model is None:
        return {"anyOf": [COLUMNS]}
    values = {column.name: model_columns.value(column) for column in model.columns}
    lists = {name: {"type": "array", "items": value, "minItems": 1} for name, value in values.items()}
    common: Json = {**COLUMNS, "additionalProperties": False}
    needed = [column.name for column in model.columns if not column.missing]
    return {"anyOf": [{**common, "properties": properties, "required": needed} for properties in (lists, values)]}


def _open(schema: Json) -> Json:
    """The same with further columns by name, which MLflow's endpoint ignores."""
    kinds = [{key: value for key, value in kind.items() if key != "additionalProperties"} for kind in schema["anyOf"]]
    return {**schema, "anyOf": kinds}


def _get(tag: str, summary: str, answers: Mapping[int, Json], parameters: Iterable[Json] = (), **more: Any) -> Json:
    all_parameters = list(parameters)
    codes = [404] if all_parameters else []
    return {"get": operations.operation(tag, summary, answers, codes, all_parameters, **more)}


def _mlflow(model: Schema | None) -> dict[str, Json]:
    row, plain = model_columns.sample(model) if model else [1.0], {"text/plain": TEXT}
    names = model.features if model else ["x"]
    named = dict(zip(names, row, strict=True))
    split = {"columns": maybe(array(TEXT)), "index": maybe({"type": "array"}), "data": array({"type": "array"})}
    formats: dict[str, tuple[Json, Any]] = {
        "dataframe_split": (record("", split, "columns", "index"), {"columns": names, "data": [row]}),
        "dataframe_records": ({"type": "array", "items": COLUMNS, "minItems": 1}, [named]),
        "instances": (ref("OpenRows"), [row, row]),
        "inputs": (ref("OpenTable"), {name: [value] for name, value in named.items()}),
    }
    formats["dataframe_split"][0].update(additionalProperties=False, description="As pandas writes it.")
    methods = [mlflow.PREDICT, *([] if model and not model.classes else [mlflow.PROBA])]
    params = {"type": "object", "properties": {"predict_method": {"enum": methods}}}
    one_of: list[Json] = [
        {
            "type": "object",
            "properties": {name: schema, "params": {"anyOf": [params, {"type": "null"}]}},
            "required": [name],
        }
        for name, (schema, _) in formats.items()
    ]
    sent = body({"oneOf": one_of}, {name: {name: example} for name, (_, example) in formats.items()})
    one_row = {"value": model_columns.comma_separated(names, row)}
    sent["requestBody"]["content"][CSV] = {"schema": TEXT, "examples": {"one_row": one_row}}
    sent["requestBody"]["content"] |= {kind: {} for kind in MEDIA_TYPES}
    kinds = {JSON: ref("Invoked"), CSV: TEXT}
    answers = {200: answer("A prediction for each row; CSV if the Accept header prefers it.", kinds, VERSION_HEADER)}
    invoke = operations.operation(MLFLOW_TAG, "Predict all rows", answers, POSTED, choosing(), errors=MLFLOW)
    none = answer("No model is loaded.", plain)
    return {
        "/invocations": {"post": {**invoke, **sent}},
        "/ping": _get(MLFLOW_TAG, "A model is loaded", {200: answer("Yes.", plain), 404: none}, errors=MLFLOW),
        "/version": _get(MLFLOW_TAG, "The version of MLflow", {200: answer("As text.", plain)}, errors=MLFLOW),
    }


def _v2(model: Schema | None) -> dict[str, Json]:
    live = record("The worker answers.", {"live": {"const": True}})
    ready = record("Whether the worker can predict.", {"live": {"const": True}, "ready": {"type": "boolean"}})
    server = record("The server.", {"name": TEXT, "version": TEXT, "extensions": array(TEXT)})
    model_record = record("The model.", {"name": TEXT, "versions": array(TEXT), "platform": TEXT})
    model_record["properties"] |= {"inputs": array(contents.OBJECT), "outputs": array(contents.OBJECT)}
    is_ready = record("It predicts.", {"name": TEXT, "ready": {"const": True}})
    listed = array(record("A version.", {"name": TEXT, "version": TEXT, "state": TEXT, "reason": TEXT}))
    states = {200: answer("Ready.", {JSON: ready}), 503: answer("Not ready.", {JSON: ready})}
    index = operations.operation(
        V2, "The model repository", {200: answer("Its versions.", {JSON: listed})}, POSTED, errors=SIMPLE
    )
    asked = body(open_inference.Index.model_json_schema(), {"all": {}})
    asked["requestBody"]["required"] = False
    places: dict[str, Json] = {
        "/v2": _get(V2, "Name, version and extensions", {200: answer("The server.", {JSON: server})}, errors=SIMPLE),
        "/v2/health/live": _get(V2, "The worker answers", {200: answer("It does.", {JSON: live})}, errors=SIMPLE),
        "/v2/health/ready": _get(V2, "The worker predicts", states, errors=SIMPLE),
        "/v2/repository/index": {"post": {**index, **asked}},
    }
    for at, parameters in (("", [NAME, *choosing()]), ("/versions/{version}", [NAME, NUMBER])):
        answers = {200: answer("The model.", {JSON: model_record}, VERSION_HEADER)}
        yes = {200: answer("It predicts.", {JSON: is_ready}, VERSION_HEADER)}
        places[f"/v2/models/{{name}}{at}"] = _get(V2, "Inputs and outputs", answers, parameters, errors=SIMPLE)
        places[f"/v2/models/{{name}}{at}/ready"] = _get(V2, "The model predicts", yes, parameters, errors=SIMPLE)
        places[f"/v2/models/{{name}}{at}/infer"] = {"post": _infer(model, parameters)}
    return places


def _infer(model: Schema | None, parameters: list[Json]) -> Json:
    length: Json = {"type": "string", "pattern": "^[0-9]{1,9}$"}
    part = header(open_inference.HEADER_LENGTH, length, "Bytes of JSON before binary tensors.")
    headers = {**VERSION_HEADER, open_inference.HEADER_LENGTH: {"schema": length, "description": part["description"]}}
    answers = {200: answer("Outputs.", {JSON: ref("InferResponse"), BINARY: TEXT}, headers)}
    described = operations.operation(V2, "Predict all rows", answers, POSTED, [*parameters, part], errors=SIMPLE)
    sent = body(ref("InferRequest"), _tensors(model))
    sent["requestBody"]["content"][BINARY] = {"schema": {"type": "string", "format": "binary"}}
    return {**described, **sent}


def _tensors(model: Schema | None) -> Json:
    """Bodies: an input for each column, or, if all columns are numbers, one input for all."""
    if model is None:
        return {"one row": {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [1.0]}]}}
    row = model_columns.sample(model)
    each = [
        {"name": column.name, "shape": [1], "datatype": open_inference.DATATYPES[column.kind], "data": [value]}
        for column, value in zip(model.columns, row, strict=True)
    ]
    examples: Json = {"by column": {"inputs": each}}
    if all(column.kind == "number" for column in model.columns):
        examples["one matrix"] = {"inputs": [{"name": "x", "shape": [1, len(row)], "datatype": "FP64", "data": row}]}
    return examples


def _v1(model: Schema | None) -> dict[str, Json]:
    status = record(
        "It predicts.", {"name": TEXT, "ready": {"const": True}, "model_version_status": array(contents.OBJECT)}
    )
    names = record("The names of the models.", {"models": array(TEXT)})
    signatures = record("Signatures.", {"model_spec": contents.OBJECT, "metadata": contents.OBJECT})
    places: dict[str, Json] = {
        "/v1/models": _get(
            V1, "The names of the models", {200: answer("The only model.", {JSON: names})}, errors=SIMPLE
        )
    }
    ways = (("", [NAME, *choosing()]), ("/versions/{version}", [NAME, NUMBER]), ("/labels/{label}", [NAME, LABEL]))
    for at, parameters in ways:
        which = f"/v1/models/{{name}}{at}"
        ready = {200: answer("It predicts.", {JSON: status}, VERSION_HEADER)}
        answers = {200: answer("Inputs and outputs.", {JSON: signatures}, VERSION_HEADER)}
        places[which] = _get(V1, "The model predicts", ready, parameters, errors=SIMPLE)
        places[f"{which}/metadata"] = _get(V1, "Inputs and outputs", answers, parameters, errors=SIMPLE)
        for verb, (summary, schema, examples) in _verbs(model).items():
            results = {200: answer("An answer for each row.", {JSON: contents.OBJECT}, VERSION_HEADER)}
            post = operations.operation(V1, summary, results, POSTED, parameters, errors=SIMPLE)
            places[f"{which}:{verb}"] = {"post": {**post, **body(schema, examples)}}
    return places


def _verbs(model: Schema | None) -> dict[str, tuple[str, Json, Json]]:
    """The verbs of a model with this task, each with a summary, the schema of its body and examples."""
    row = model_columns.sample(model) if model else [1.0]
    named = model_columns.named_sample(model) if model else {"x": 1.0}
    signature = {"enum": [*SIGNATURES, *([] if model and not model.classes else [mlflow.PROBA])]}
    one_of = [
        {"type": "object", "properties": {name: ref(schema), "signature_name": signature}, "required": [name]}
        for name, schema in (("instances", "Rows"), ("inputs", "Table"))
    ]
    context = {"anyOf": [COLUMNS, {"type": "null"}], "description": "Columns with the same value in all examples."}
    examples: Json = {"type": "array", "items": COLUMNS, "minItems": 1}
    example_body = {
        "type": "object",
        "properties": {"examples": examples, "context": context},
        "required": ["examples"],
    }
    forms = {"rows": {"instances": [row, row]}, "columns": {"inputs": {key: [single] for key, single in named.items()}}}
    single = {"one row": {"examples": [named]}}
    classify = {"classify": ("Classes of each row with their probabilities", example_body, single)}
    regress = {"regress": ("A number for each row", example_body, single)}
    return {
        "predict": ("Predict rows or columns", {"oneOf": one_of}, forms),
        **(classify if model is None or model.classes else {}),
        **(regress if model is None or not model.classes else {}),
    }
