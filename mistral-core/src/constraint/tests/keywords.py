#!/usr/bin/env python3
"""Writes keywords.json: schemas, keyword by keyword and in the style of tools that servers offer, each with values that the package
`jsonschema` (Draft 2020-12, with its format checker) accepts and refuses as the arguments of a call.

Needs `jsonschema[format-nongpl]` 4.26; run from this folder: `python3 keywords.py`. With a file of samples as its argument, each line
`[number of the schema, dialect, arguments]`, it checks these instead: set MISTRAL_SAMPLES to a path for the test that writes one.
"""

import json
import sys
from decimal import Decimal

from jsonschema import Draft202012Validator

S, I, N, B, A, O = ({"type": t} for t in ("string", "integer", "number", "boolean", "array", "object"))
FORMATS = ["date", "time", "date-time", "duration", "email", "idn-email", "hostname", "ipv4", "ipv6", "uri", "uri-reference", "iri",
           "iri-reference", "uuid", "uri-template", "json-pointer", "relative-json-pointer"]


def of(schema, **more):
    return {"type": "object", "properties": {"v": schema}, "required": ["v"], **more}


def obj(properties, *required, **more):
    return {"type": "object", "properties": properties, "required": list(required), **more}


VALUES = [
    *[of({"type": "string", "format": f}) for f in FORMATS],
    of({"type": "string", "format": "date", "pattern": "^20"}),
    of({"type": "string", "format": "date", "not": {"pattern": "-02-"}}),
    of({"type": ["string", "null"], "format": "date-time"}),
    of({"type": "string", "minLength": 2, "maxLength": 4}),
    of({"type": "string", "pattern": "^[a-z]{2,3}$"}),
    of({"type": "string", "pattern": "^a", "not": {"pattern": "b$"}}),
    of({"type": "string", "not": {"enum": ["", "a", "b"]}}),
    of({"type": "string", "not": {"const": ""}, "maxLength": 3}),
    of({"type": "string", "not": {"minLength": 3}}),
    of({"type": "string", "not": {"format": "date"}, "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}),
    *[of({"type": "integer", "multipleOf": m}) for m in (1, 2, 3, 5, 7, 10, 12, 60, 100, 128, 1000, 0.5, 1.5)],
    *[of({"type": "number", "multipleOf": m}) for m in (0.01, 0.1, 0.25, 0.5, 1, 2.5, 3, 0.001)],
    of({"type": "integer", "multipleOf": 15, "minimum": 1, "maximum": 240}),
    of({"type": "number", "multipleOf": 0.01, "minimum": 0, "exclusiveMaximum": 100}),
    of({"type": "integer", "not": {"multipleOf": 2}}),
    of({"allOf": [{"type": "integer", "multipleOf": 4}, {"multipleOf": 6}]}),
    of({"type": "integer", "minimum": 3, "maximum": 17, "not": {"const": 5}}),
    of({"type": "integer", "not": {"enum": [0, 1, 2]}, "minimum": 0, "maximum": 5}),
    of({"type": "number", "not": {"const": 1}, "minimum": 0, "maximum": 2}),
    of({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
    of({"type": "number", "minimum": 1e-7, "maximum": 1e3}),
    of({"type": "number", "minimum": -1e300, "maximum": 1e300}),
    of({"type": "number", "minimum": 1.5e2}),
    of({"type": "number", "maximum": -2.5e-3}),
    of({"type": "integer", "minimum": 1e3, "maximum": 1e6}),
    of({"type": "number", "not": {"type": "integer"}}),
    of({"type": "number", "not": {"minimum": 0}}),
    of({"not": {"type": ["object", "array", "string"]}}),
    of({"enum": [1, 2.5, "a", None, True, [1], {"a": 1}]}),
    of({"enum": [1, 2.5, "a", None, True], "type": "string"}),
    of({"enum": [1, 2, 3, 4, 5, 6], "multipleOf": 2}),
    of({"enum": ["a", "ab", "abc"], "minLength": 2}),
    of({"enum": ["2024-02-30", "2024-02-29"], "format": "date"}),
    of({"enum": [1, 2, 3], "not": {"const": 2}}),
    of({"const": "x", "type": ["string", "integer"]}),
    of({"const": 1.0, "type": "integer"}),
    of({"type": "integer", "enum": [1, 1.0, 2]}),
    of({"allOf": [{"enum": [1, 2, 3]}, {"enum": [2, 3, 4]}, {"minimum": 3}]}),
    of({"allOf": [{"type": ["string", "integer"]}, {"enum": ["a", 1, None]}]}),
    of({"oneOf": [{"type": "integer", "multipleOf": 3}, {"type": "integer", "multipleOf": 5}]}),
    of({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 2}]}),
    of({"oneOf": [{"type": "string", "maxLength": 3}, {"type": "string", "minLength": 2}]}),
    of({"oneOf": [{"type": "string"}, {"type": "string", "format": "date"}]}),
    of({"oneOf": [{"enum": [1, 2, 3]}, {"enum": [3, 4, 5]}]}),
    of({"oneOf": [{"type": "string"}, {"type": "null"}, {"type": "integer"}]}),
    of({"oneOf": [{"const": "a"}, {"const": "b"}, {"type": "string", "minLength": 1}]}),
    of({"anyOf": [{"type": "integer", "minimum": 5}, {"type": "string", "minLength": 2}, {"type": "null"}]}),
    of({"not": {"anyOf": [{"type": "string"}, {"type": "number", "minimum": 3}, {"type": ["array", "object"]}]}}),
    of({"type": ["integer", "string"], "if": {"type": "integer"}, "then": {"minimum": 10}, "else": {"maxLength": 2}}),
    of({"type": "string", "if": {"pattern": "^a"}, "then": {"minLength": 3}, "else": {"const": "b"}}),
]

LISTS = [
    of({"type": "array", "items": I, "minItems": 1, "maxItems": 3}),
    of({"type": "array", "items": I, "uniqueItems": True, "maxItems": 4}),
    of({"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True}),
    of({"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True, "minItems": 3}),
    of({"type": "array", "items": {"enum": ["a", 1, 1.0, None]}, "uniqueItems": True, "minItems": 2}),
    of({"type": "array", "items": B, "uniqueItems": True}),
    of({"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 12}, "uniqueItems": True, "minItems": 2}),
    of({"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 3}, "uniqueItems": True, "minItems": 3}),
    of({"type": "array", "items": S, "uniqueItems": True, "minItems": 2}),
    of({"type": "array", "items": {"type": "string", "pattern": "^[ab]{1,2}$"}, "uniqueItems": True, "minItems": 4}),
    of({"type": "array", "items": {"type": ["string", "null", "integer"]}, "uniqueItems": True, "minItems": 3}),
    of({"type": "array", "items": N, "uniqueItems": True, "minItems": 2}),
    of({"type": "array", "items": {"type": "string", "format": "date"}, "uniqueItems": True, "maxItems": 2}),
    of({"type": "array", "uniqueItems": True, "items": {"type": "object", "properties": {"a": I}}}),
    of({"type": "array", "contains": {"const": 3}, "items": I}),
    of({"type": "array", "contains": {"const": "x"}, "items": {"enum": ["x", "y"]}, "maxItems": 3}),
    of({"type": "array", "contains": {"type": "null"}, "minContains": 2, "maxContains": 3, "items": {"type": ["null", "integer"]}}),
    of({"type": "array", "contains": {"minimum": 10}, "maxContains": 1, "items": I, "minItems": 2}),
    of({"type": "array", "contains": S, "minContains": 0, "maxContains": 1, "items": {"type": ["string", "integer"]}}),
    of({"type": "array", "prefixItems": [S, I], "items": False}),
    of({"type": "array", "prefixItems": [S, I], "minItems": 2}),
    of({"type": "array", "prefixItems": [S, I], "items": {"type": "null"}, "minItems": 3, "maxItems": 4}),
    of({"type": "array", "prefixItems": [{"enum": ["a", "b"]}], "items": I, "contains": {"const": 2}}),
    of({"allOf": [{"type": "array", "prefixItems": [S]}, {"items": {"minLength": 2}}]}),
    of({"allOf": [{"type": "array", "items": I}, {"items": {"minimum": 3}}, {"minItems": 1}]}),
    of({"type": "array", "items": I, "not": {"minItems": 2}}),
    of({"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 3}, "not": {"items": {"const": 1}}}),
    of({"type": "array", "items": {"enum": [1, 2]}, "not": {"contains": {"const": 2}}}),
    of({"type": "array", "prefixItems": [I], "unevaluatedItems": False}),
    of({"type": "array", "items": {"type": "array", "items": N, "minItems": 2, "maxItems": 2}, "minItems": 1, "maxItems": 3}),
]

P = {"a": I, "b": S, "c": B}
MAP = {"type": "object", "additionalProperties": I}
OBJECTS = [
    obj(P), obj(P, "b"), obj(P, "a", "b", "c", additionalProperties=False), obj(P, additionalProperties=I), obj(P, "z"),
    obj(P, minProperties=1), obj(P, minProperties=2, additionalProperties=False), obj(P, maxProperties=1), obj(P, "b", maxProperties=2),
    obj(P, minProperties=2, maxProperties=2), obj(P, minProperties=4), obj(P, minProperties=2, maxProperties=4, additionalProperties=I),
    of({**MAP, "maxProperties": 2}), of({**MAP, "minProperties": 2}), of({**MAP, "minProperties": 1, "maxProperties": 3}),
    of({**MAP, "propertyNames": {"pattern": "^[a-z]{1,3}$"}}), of({**MAP, "propertyNames": {"enum": ["x", "y"]}}),
    of({**MAP, "propertyNames": {"maxLength": 3}, "minProperties": 1}), of({**MAP, "propertyNames": {"enum": ["x", "y"]}, "minProperties": 2}),
    of({**MAP, "propertyNames": {"format": "date"}, "minProperties": 1}), of({**MAP, "propertyNames": {"not": {"const": "a"}}}),
    of(obj(P, propertyNames={"enum": ["a", "b"]})), obj(P, propertyNames={"pattern": "^[ab]"}, additionalProperties=True),
    of({"type": "object", "patternProperties": {"^x-": S}, "additionalProperties": False}),
    of({"type": "object", "patternProperties": {"^x-": S, "^y": I}, "additionalProperties": False, "minProperties": 1}),
    of({"type": "object", "patternProperties": {"^a": {"minimum": 3}, "b$": {"type": "integer"}}, "additionalProperties": {"type": "null"}}),
    of({"type": "object", "properties": {"ab": I}, "patternProperties": {"^a": {"minimum": 3}}, "required": ["ab"]}),
    of({"type": "object", "patternProperties": {"^[ab]$": I}, "additionalProperties": False, "minProperties": 2}),
    of({"type": "object", "patternProperties": {"^.*$": {"type": "string", "maxLength": 4}}}),
    obj(P, dependentRequired={"a": ["b"]}), obj(P, dependentRequired={"a": ["b", "c"], "b": ["c"]}),
    obj(P, "a", dependentRequired={"a": ["c"]}), obj(P, dependentSchemas={"a": {"required": ["b"], "properties": {"b": {"minLength": 2}}}}),
    obj(P, oneOf=[{"required": ["a"]}, {"required": ["b"]}]), obj(P, anyOf=[{"required": ["a"]}, {"required": ["b"]}]),
    obj(P, oneOf=[{"required": ["a", "b"]}, {"required": ["c"]}]), obj(P, **{"not": {"required": ["a", "c"]}}),
    obj(P, **{"not": {"properties": {"a": {"const": 1}}, "required": ["a"]}}), obj(P, **{"not": {"required": ["b"]}}, additionalProperties=True),
    obj({"kind": {"enum": ["a", "b"]}, "x": I, "y": S}, "kind", **{"if": {"properties": {"kind": {"const": "a"}}}, "then": {"required": ["x"]}, "else": {"required": ["y"]}}),
    obj({"kind": {"enum": ["a", "b"]}, "x": I}, "kind", allOf=[{"if": {"properties": {"kind": {"const": "a"}}, "required": ["kind"]}, "then": {"properties": {"x": {"minimum": 5}}, "required": ["x"]}}]),
    obj({"country": S, "code": S}, "country", "code", **{"if": {"properties": {"country": {"const": "us"}}}, "then": {"properties": {"code": {"pattern": "^[0-9]{5}$"}}}}),
    of({"oneOf": [obj({"t": {"const": "a"}, "x": I}, "t"), obj({"t": {"const": "b"}, "y": S}, "t")]}),
    of({"oneOf": [obj({"x": I}, "x"), obj({"y": S}, "y")]}), of({"oneOf": [obj({"x": I}), obj({"x": S})]}),
    of({"anyOf": [obj({"x": I}, "x", additionalProperties=False), obj({"y": S}, "y", additionalProperties=False)]}),
    of({"allOf": [obj({"x": I}, "x"), obj({"y": S}, "y")]}), of({"allOf": [obj({"x": I}), {"properties": {"x": {"minimum": 3}}, "required": ["x"]}]}),
    of({"allOf": [obj({"x": I}), obj({"y": S}, "y")], "unevaluatedProperties": False}),
    of({"allOf": [{"type": "object", "additionalProperties": I}, {"patternProperties": {"^a": {"minimum": 2}}}], "minProperties": 1}),
    obj({"a": False, "b": I}), of({"type": "object", "additionalProperties": False}),
    {**of({"$ref": "#/$defs/t"}), "$defs": {"t": obj({"next": {"$ref": "#/$defs/t"}, "n": {"type": "integer", "multipleOf": 2}}, "n")}},
    {**of({"$ref": "#/$defs/t", "minimum": 3}), "$defs": {"t": {"type": "integer", "maximum": 9}}},
    {**of({"$ref": "#t"}), "$defs": {"x": {"$anchor": "t", "type": "integer", "maximum": 9}}},
    {**of({"$ref": "#/$defs/a%20b"}), "$defs": {"a b": {"type": "boolean"}}},
]

TOOLS = [
    obj({"path": {"type": "string", "minLength": 1}, "encoding": {"enum": ["utf-8", "latin-1"], "default": "utf-8"}, "head": {"type": "integer", "minimum": 1}, "tail": {"type": "integer", "minimum": 1}}, "path", **{"not": {"required": ["head", "tail"]}}),
    obj({"path": S, "edits": {"type": "array", "minItems": 1, "items": obj({"oldText": S, "newText": S}, "oldText", "newText", additionalProperties=False)}, "dryRun": B}, "path", "edits", additionalProperties=False),
    obj({"owner": {"type": "string", "pattern": "^[A-Za-z0-9-]{1,39}$"}, "repo": {"type": "string", "pattern": "^[A-Za-z0-9._-]+$"}, "state": {"enum": ["open", "closed", "all"]}, "labels": {"type": "array", "items": S, "uniqueItems": True}, "per_page": {"type": "integer", "minimum": 1, "maximum": 100}, "since": {"type": "string", "format": "date-time"}}, "owner", "repo"),
    obj({"title": {"type": "string", "minLength": 1, "maxLength": 256}, "assignees": {"type": "array", "items": S, "maxItems": 10, "uniqueItems": True}, "milestone": {"type": ["integer", "null"]}}, "title"),
    obj({"sql": S, "params": {"type": "array", "items": {"type": ["string", "number", "boolean", "null"]}}, "timeout_ms": {"type": "integer", "multipleOf": 100, "minimum": 100, "maximum": 60000}}, "sql"),
    obj({"url": {"type": "string", "format": "uri"}, "method": {"enum": ["GET", "POST"]}, "headers": {"type": "object", "additionalProperties": S, "propertyNames": {"pattern": "^[A-Za-z-]+$"}, "maxProperties": 20}, "body": S}, "url", **{"if": {"properties": {"method": {"const": "POST"}}, "required": ["method"]}, "then": {"required": ["body"]}}),
    obj({"from": {"type": "string", "format": "date"}, "to": {"type": "string", "format": "date"}, "guests": {"type": "integer", "minimum": 1, "maximum": 8}, "rooms": {"type": "array", "items": obj({"adults": {"type": "integer", "minimum": 1}, "children": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 17}}}, "adults"), "minItems": 1, "maxItems": 4}}, "from", "to"),
    obj({"amount": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.01}, "currency": {"type": "string", "pattern": "^[A-Z]{3}$"}, "iban": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$"}, "note": {"type": ["string", "null"], "maxLength": 140}}, "amount", "currency", "iban"),
    obj({"to": {"type": "array", "items": {"type": "string", "format": "email"}, "minItems": 1, "uniqueItems": True}, "subject": {"type": "string", "maxLength": 78}, "body": S, "attachments": {"type": "array", "items": obj({"name": S, "url": {"type": "string", "format": "uri"}}, "name", "url")}}, "to", "subject", "body"),
    obj({"lat": {"type": "number", "minimum": -90, "maximum": 90}, "lon": {"type": "number", "minimum": -180, "maximum": 180}, "units": {"enum": ["metric", "imperial"]}}, "lat", "lon"),
    obj({"query": {"type": "string", "minLength": 1}, "filters": {"type": "object", "patternProperties": {"^meta\\.[a-z]+$": {"type": ["string", "number"]}}, "additionalProperties": False}, "limit": {"type": "integer", "minimum": 1, "maximum": 50}}, "query"),
    obj({"host": {"type": "string", "anyOf": [{"format": "hostname"}, {"format": "ipv4"}, {"format": "ipv6"}]}, "port": {"type": "integer", "minimum": 1, "maximum": 65535}, "protocol": {"enum": ["tcp", "udp"]}}, "host", "port"),
    obj({"shape": {"oneOf": [obj({"type": {"const": "circle"}, "radius": {"type": "number", "exclusiveMinimum": 0}}, "type", "radius"), obj({"type": {"const": "box"}, "width": N, "height": N}, "type", "width", "height")]}}, "shape"),
    obj({"tasks": {"type": "array", "items": obj({"id": {"type": "string", "format": "uuid"}, "status": {"enum": ["todo", "doing", "done"]}, "due": {"type": "string", "format": "date"}, "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True}}, "id", "status")}}, "tasks"),
    obj({"command": S, "args": {"type": "array", "items": S}, "env": {"type": "object", "additionalProperties": S, "propertyNames": {"pattern": "^[A-Z_][A-Z0-9_]*$"}}, "timeout": {"type": "string", "format": "duration"}}, "command"),
    obj({"email": {"type": "string", "format": "email"}, "phone": {"type": "string", "pattern": "^\\+[1-9][0-9]{6,14}$"}, "name": S}, "name", anyOf=[{"required": ["email"]}, {"required": ["phone"]}]),
    obj({"card": {"type": "string", "pattern": "^[0-9]{16}$"}, "cvv": {"type": "string", "pattern": "^[0-9]{3}$"}, "paypal": {"type": "string", "format": "email"}}, dependentRequired={"card": ["cvv"]}, oneOf=[{"required": ["card"]}, {"required": ["paypal"]}]),
    {**obj({"expr": {"$ref": "#/$defs/expr"}}, "expr"), "$defs": {"expr": {"oneOf": [N, obj({"op": {"enum": ["+", "*"]}, "args": {"type": "array", "items": {"$ref": "#/$defs/expr"}, "minItems": 2, "maxItems": 3}}, "op", "args", additionalProperties=False)]}}},
    obj({"columns": {"type": "array", "items": obj({"name": {"type": "string", "pattern": "^[a-z_]+$"}, "type": {"enum": ["int", "text", "decimal"]}, "scale": {"type": "integer", "minimum": 0, "maximum": 6}}, "name", "type", **{"if": {"properties": {"type": {"const": "decimal"}}}, "then": {"required": ["scale"]}, "else": {"properties": {"scale": False}}}), "minItems": 1}}, "columns"),
    obj({"cron": {"type": "string", "pattern": "^(\\*|[0-5]?[0-9]) (\\*|1?[0-9]|2[0-3]) \\* \\* (\\*|[0-6])$"}, "enabled": {"type": "boolean", "default": True}}, "cron"),
    obj({"a": {"type": "array", "items": N, "minItems": 3, "maxItems": 3}, "op": {"enum": ["sum", "mean"]}}, "a", "op", additionalProperties=False),
    obj({"user": {"anyOf": [{"type": "string", "format": "uuid"}, {"type": "integer", "minimum": 1}, {"type": "null"}]}, "scopes": {"type": "array", "items": {"enum": ["read", "write", "admin"]}, "uniqueItems": True, "minItems": 1, "contains": {"const": "read"}}}, "user", "scopes"),
    obj({"color": {"type": "string", "pattern": "^#[0-9a-f]{6}$"}, "opacity": {"type": "number", "minimum": 0, "maximum": 1}, "size": {"type": "integer", "multipleOf": 8, "minimum": 8, "maximum": 512}}, "color", "size"),
    obj({"key": S, "value": {}, "ttl": {"type": "integer", "minimum": 0}}, "key", "value"),
    obj({"matrix": {"type": "array", "items": {"type": "array", "items": I, "minItems": 2, "maxItems": 2}, "minItems": 2, "maxItems": 2}}, "matrix"),
    obj({"settings": {"type": "object", "minProperties": 1, "properties": {"dark": B, "font": {"type": "integer", "minimum": 8, "maximum": 32}, "lang": {"type": "string", "pattern": "^[a-z]{2}$"}}, "additionalProperties": False}}, "settings"),
    obj({"mode": {"const": "fast"}}, "mode"),
    obj({}),
    obj({"version": {"type": "string", "pattern": "^(0|[1-9][0-9]*)\\.(0|[1-9][0-9]*)\\.(0|[1-9][0-9]*)$"}, "channel": {"enum": ["stable", "beta"], "type": "string"}}, "version"),
    obj({"labels": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63}, "propertyNames": {"maxLength": 20, "pattern": "^[a-z]"}, "maxProperties": 3}}, "labels"),
]

# Each value also where it need not be, in a list, and in a map.
MORE = [obj({"v": s["properties"]["v"], "w": I}) for s in VALUES if "$defs" not in s]
MORE += [of({"type": "object", "additionalProperties": s["properties"]["v"], "maxProperties": 2}) for s in VALUES[:60:3]]
MORE += [of({"type": "array", "items": s["properties"]["v"], "maxItems": 2}) for s in VALUES[1:60:3]]
SCHEMAS = VALUES + LISTS + OBJECTS + TOOLS + MORE

SCALARS = [0, 1, 2, 3, 5, 7, 12, 15, 100, -4, 0.5, 1.5, 0.07, 0.3, 2.25, 99.995, 1000, True, False, None, "", "a", "b", "ab", "abc", "abcd", "x",
           "2024-02-29", "2023-02-29", "5544-11-31", "12:00:00Z", "2024-02-29T12:00:00Z", "P1D", "a@b.org", "example.org", "10.0.0.1", "::1",
           "https://a.org/b", "/a/~0", "0#", "123e4567-e89b-12d3-a456-426614174000", "é"]
NESTED = [[], [1], [1, 1], [1, 2], [3, 10, 11], ["a"], ["a", "b", "c"], ["a", "a"], ["x", "y"], [None, None], ["a", 2], ["ab", 1, None], [True, False],
          {}, {"a": 1}, {"a": 5, "b": "x"}, {"x": 1}, {"x": 1, "y": "z"}, {"x-a": "b"}, {"x-a": 1}, {"z": 1}, {"ab": 3}, {"ab": 1}, {"t": "a"},
          {"a": None}, {"b": 2, "a": 4}, {"2024-01-01": 1}, {"y": 2, "x": 3}]
WHOLE = [{}, {"a": 1}, {"b": "x"}, {"c": True}, {"a": 1, "b": "x"}, {"a": 1, "b": "xy", "c": True}, {"a": 1, "c": True}, {"a": 1, "z": 2}, {"a": 2},
         {"kind": "a"}, {"kind": "a", "x": 7}, {"kind": "b", "y": "s"}, {"country": "us", "code": "x"}, {"country": "us", "code": "12345"}, {"w": 1}]


def exact(value):
    return json.loads(json.dumps(value) if not isinstance(value, str) else value, parse_float=Decimal)


def validator(schema):
    return Draft202012Validator(exact(schema), format_checker=Draft202012Validator.FORMAT_CHECKER)


def main():
    if len(sys.argv) > 1:
        checks = [validator(schema) for schema in SCHEMAS]
        bad = total = 0
        for line in open(sys.argv[1], encoding="utf-8"):
            number, dialect, arguments = json.loads(line)
            twice = []
            def pairs(members):
                keys = [key for key, _ in members]
                twice.extend(key for key in keys if keys.count(key) > 1)
                return dict(members)
            value = json.loads(arguments, parse_float=Decimal, object_pairs_hook=pairs)
            errors = [error.message for error in checks[number].iter_errors(value)] + [f"{key} twice" for key in twice]
            total += 1
            if errors:
                bad += 1
                print(number, dialect, json.dumps(SCHEMAS[number]), arguments, errors, sep="\n  ")
        print(f"{bad} of {total} samples are not valid")
        sys.exit(bad > 0)
    cases = []
    for schema in SCHEMAS:
        Draft202012Validator.check_schema(schema)
        check = validator(schema)
        whole = WHOLE + ([{"v": value} for value in SCALARS + NESTED] if "v" in schema["properties"] else [])
        good = [value for value in whole if check.is_valid(exact(value))][:12]
        bad = [value for value in whole if not check.is_valid(exact(value))]
        # Some of them, from near the end too.
        bad = bad[:: max(1, len(bad) // 12)]
        cases.append({"schema": schema, "good": good, "bad": bad})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases)
    open("keywords.json", "w", encoding="utf-8").write(f"[\n{lines}\n]\n")
    print(len(cases), "schemas,", sum(len(c["good"]) for c in cases), "good,", sum(len(c["bad"]) for c in cases), "bad")


if __name__ == "__main__":
    main()
