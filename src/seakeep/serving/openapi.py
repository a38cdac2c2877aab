"""The OpenAPI document of the HTTP routes, made from the table of routes and from the very types that are encoded.

References
----------
OpenAPI Specification 3.1.1; JSON Schema 2020-12.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import msgspec

from seakeep.config import PRIORITIES
from seakeep.records.version import NAME
from seakeep.serving import priority, prometheus
from seakeep.serving.deadline import HEADER, MOST_US
from seakeep.serving.errors import ErrorBody
from seakeep.serving.open_inference import Live, ModelMetadata, ModelReady, Readiness, ServerMetadata
from seakeep.serving.routes import OPERATIONS, Operation
from seakeep.serving.tensors import DTYPES, OUTPUTS
from seakeep.serving.v1 import ClassAnswer, EventsAnswer, PredictAnswer, RowAnswer, ValueAnswer

_PLACE = re.compile(r"\{(\w+)\}")
_SUMMARIES = {
    "predict": "Predictions for rows; the features of their entities are looked up",
    "events": "Takes events, which later predictions see; acknowledged once they are on disk",
    "infer": "Open Inference Protocol v2: predictions for tensors of inputs",
    "model_ready": "Open Inference Protocol v2: whether a model answers",
    "model_metadata": "Open Inference Protocol v2: a model's versions, inputs and outputs",
    "server_metadata": "Open Inference Protocol v2: the server and its extensions",
    "live": "Open Inference Protocol v2: whether the process answers",
    "ready": "Open Inference Protocol v2: whether every model answers",
    "metrics": "Counters of all workers, in Prometheus' text format",
    "openapi": "This document",
}
_ANSWERS: dict[str, Any] = {
    "predict": PredictAnswer,
    "events": EventsAnswer,
    "model_ready": ModelReady,
    "model_metadata": ModelMetadata,
    "server_metadata": ServerMetadata,
    "live": Live,
    "ready": Readiness,
}
_ROWS = (RowAnswer, ValueAnswer, ClassAnswer)
"""An answer to one row: what it is depends on what the model answers."""
_OBJECTS = {"type": "array", "minItems": 1, "items": {"type": "object"}}
_DATATYPES = [*DTYPES, "BYTES"]
_SIZED = {"type": "object", "properties": {"binary_data_size": {"type": "integer", "minimum": 0}}}

_ASKED = {
    "binary_data_output": {"type": "boolean"},
    "timeout": {"type": "integer", "minimum": 0, "maximum": MOST_US},
    "priority": {"type": "integer", "minimum": 0, "maximum": priority.MOST},
}

_TOLD = {"prediction_ids": {"type": "string"}, "rung": {"enum": ["stale", "standby", "rule", "cached"]}}

_WRITTEN: dict[str, Any] = {
    "RowsBody": {
        "description": "Rows as the model's request source declares them.",
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {"rows": _OBJECTS},
    },
    "EventsBody": {
        "description": "Events as their source declares them.",
        "type": "object",
        "required": ["events"],
        "additionalProperties": False,
        "properties": {"events": _OBJECTS},
    },
    "InferRequest": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object", "properties": _ASKED},
            "inputs": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/InferInput"}},
            "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/InferWanted"}},
        },
    },
    "InferInput": {
        "description": "data, or binary_data_size and as many bytes after the JSON.",
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"type": "string"},
            "shape": {
                "type": "array",
                "minItems": 1,
                "maxItems": 2,
                "items": {"type": "integer", "minimum": 0, "maximum": 2**40 - 1},
            },
            "datatype": {"enum": _DATATYPES},
            "data": {"type": "array"},
            "parameters": _SIZED,
        },
    },
    "InferWanted": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"enum": [*OUTPUTS]},
            "parameters": {"type": "object", "properties": {"binary_data": {"type": "boolean"}}},
        },
    },
    "InferResponse": {
        "type": "object",
        "required": ["model_name", "model_version", "id", "parameters", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": {"type": "object", "properties": _TOLD},
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "datatype", "shape"],
                    "properties": {
                        "name": {"enum": [*OUTPUTS]},
                        "datatype": {"enum": sorted(set(OUTPUTS.values()))},
                        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
                        "data": {"type": "array"},
                        "parameters": _SIZED,
                    },
                },
            },
        },
    },
}
_REFUSALS = {
    "400": "The request is at fault; the error names the input",
    "401": "No API key was sent, or it is not valid",
    "403": "The key's role may not do this, or a page of another origin asks",
    "404": "There is no such model, version or source",
    "405": "The path takes another method",
    "408": "The request took too long to arrive",
    "413": "The body, or its number of rows, is too large",
    "415": "The body is of a type or an encoding that is not understood",
    "429": "The key has used up what it may ask for; Retry-After says when to try again",
    "500": "A fault in the server",
    "503": "Not loaded, overloaded or shutting down; Retry-After says when to try again",
    "504": "The request's time was over before it was answered",
}
_BODILESS = frozenset({"408", "413", "415"})
"""Refusals of bodies, which a GET has not."""


@functools.cache
def document(version: str) -> bytes:
    """The document, JSON; ``version`` is the server's."""
    kinds = [*dict.fromkeys(_ANSWERS.values()), *_ROWS, ErrorBody]
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    answers = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in _ROWS]
    schemas["PredictAnswer"]["properties"]["predictions"]["items"] = {"oneOf": answers}
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths[operation.path] = {"post" if operation.posts else "get": _operation(operation)}
    told = {
        "openapi": "3.1.1",
        "info": {"title": "Seakeep", "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": _WRITTEN | schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
    return msgspec.json.encode(told)


def _operation(operation: Operation) -> dict[str, Any]:
    name = operation.name
    told: dict[str, Any] = {
        "operationId": name + "_of_version" * ("{number}" in operation.path),
        "summary": _SUMMARIES[name],
        "parameters": [_parameter(place) for place in _PLACE.findall(operation.path)],
        "security": [{"key": []}] if operation.action else [],
        "responses": _responses(operation),
    }
    if operation.posts:
        told["requestBody"] = {"required": True, "content": _body(name)}
    if name == "events":
        told["parameters"].append(_header("Idempotency-Key", {"type": "string", "pattern": "^[!-~]{1,200}$"}))
    if name == "infer":
        told["parameters"].append(_header("Inference-Header-Content-Length", {"type": "integer", "minimum": 0}))
    if name in {"predict", "infer"}:
        told["parameters"].append(_header(HEADER.decode(), {"type": "integer", "minimum": 0, "maximum": 10**12 - 1}))
        told["parameters"].append(_header(priority.HEADER.decode(), {"enum": [*PRIORITIES]}))
    return told


def _parameter(place: str) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1, "maximum": 999_999_999} if place == "number" else _NAME
    return {"name": place, "in": "path", "required": True, "schema": schema}


def _header(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "schema": schema}


_NAME = {"type": "string", "pattern": f"^{NAME.pattern}$"}


def _body(name: str) -> dict[str, Any]:
    kinds = {"predict": "RowsBody", "events": "EventsBody", "infer": "InferRequest"}
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": f"#/components/schemas/{kinds[name]}"}}}
    if name == "infer":
        content["application/octet-stream"] = {}
    return content


def _responses(operation: Operation) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
    told: dict[str, Any] = {"200": {"description": "The answer", "content": _answer(operation.name)}}
    for status, description in _REFUSALS.items():
        if (operation.posts or status not in _BODILESS) and (
            status not in {"429", "504"} or operation.name in {"predict", "infer"}
        ):
            told[status] = {"description": description, "content": error}
    if operation.name == "ready":
        told["503"] = {"description": "Not every model answers", "content": _answer("ready")}
    return told


def _answer(name: str) -> dict[str, Any]:
    if name == "metrics":
        return {prometheus.CONTENT_TYPE.decode(): {"schema": {"type": "string"}}}
    if name == "openapi":
        return {"application/json": {"schema": {"type": "object"}}}
    if name == "infer":
        answer = {"application/json": {"schema": {"$ref": "#/components/schemas/InferResponse"}}}
        return answer | {"application/octet-stream": {}}
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{_ANSWERS[name].__name__}"}}}
