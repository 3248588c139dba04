#!/usr/bin/env python3
"""Writes the description of the REST interface, OpenAPI 3.1: `openapi.py FRAME OUTPUT [FOLDER]`.

Paths, operations, their errors, and schemas of messages come from the .proto files in FOLDER, this one
by default, with their comments. FRAME is a JSON file with the rest of the document, and beside it

    operations  by rpc, what a call has otherwise or besides
    examples    by rpc, the `body` and the `answer` of one whose JSON is that of its messages
    errors      the response of each status, by name; `always` are those of every operation, `core`
                of those that ask the core, `key` of those that a key must allow

A schema in FRAME with `message` takes the comments of that message's fields as its descriptions."""

import json
import re
import sys
from pathlib import Path

from descriptors import (
    FIELDS,
    HERE,
    MESSAGES,
    NESTED,
    Field,
    read_comments,
    read_files,
    read_methods,
)

TIME = {"type": ["string", "null"], "format": "date-time"}
EXAMPLE_TIME = "2026-01-31T23:59:59.000001Z"
DURATION = {"type": ["string", "null"], "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$"}
EXAMPLE_DURATION = "1.5s"
PAYLOAD = {"type": ["object", "null"], "additionalProperties": True}
PAYLOAD_OMITTED = {
    "type": "boolean",
    "const": True,
    "description": "Absent unless the payload was left out: in a list, when not every JSON reader can take it.",
}
BASE64 = {"type": "string", "contentEncoding": "base64"}
EXAMPLE_BASE64 = "AAEC"
NUMBERS = {
    Field.TYPE_INT32: ("integer", "int32"),
    Field.TYPE_UINT32: ("integer", "uint32"),
    Field.TYPE_INT64: ("integer", "int64"),
    Field.TYPE_UINT64: ("integer", "uint64"),
    Field.TYPE_FLOAT: ("number", "float"),
    Field.TYPE_DOUBLE: ("number", "double"),
}


class Types:
    """Messages and enums by full name, with the comments on messages and their fields."""

    def __init__(self, files):
        self.messages, self.enums, self.comments = {}, {}, {}
        for file in files:
            comments = read_comments(file)
            for number, message in enumerate(file.message_type):
                self.add_message(f"{file.package}.{message.name}", message, comments, (MESSAGES, number))
            for enum in file.enum_type:
                self.enums[f"{file.package}.{enum.name}"] = enum

    def add_message(self, name, message, comments, path):
        self.messages[name] = message
        self.comments[name] = comments.get(path, "")
        for number, field in enumerate(message.field):
            self.comments[f"{name}.{field.name}"] = comments.get((*path, FIELDS, number), "")
        for enum in message.enum_type:
            self.enums[f"{name}.{enum.name}"] = enum
        for number, nested in enumerate(message.nested_type):
            self.add_message(f"{name}.{nested.name}", nested, comments, (*path, NESTED, number))


def enum_values(enum):
    """In lower case without the enum's own name in front."""
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
    return [value.name.removeprefix(prefix).lower() for value in enum.value]


def is_payload(field):
    """Whether its bytes are a JSON object: see bridge/transcode.h."""
    single = field.label != Field.LABEL_REPEATED
    return field.type == Field.TYPE_BYTES and single and field.name == "payload"


class Schemas:
    """Schemas of messages, made when they are first asked for."""

    def __init__(self, types, made_by_hand):
        self.types = types
        self.made = {name: self.complete(schema) for name, schema in made_by_hand.items()}

    def complete(self, schema):
        message = schema.pop("message", None)
        for name, property in schema.get("properties", {}).items():
            comment = self.types.comments.get(f"{message}.{name}")
            if message and comment:
                property.setdefault("description", comment)
        return schema

    def reference(self, name):
        short = name.rpartition(".")[2]
        if short not in self.made:
            self.made[short] = {}  # a message may be met again in itself
            self.made[short].update(self.message(name))
            if any(is_payload(field) for field in self.types.messages[name].field):
                self.made[short]["properties"]["payload_omitted"] = dict(PAYLOAD_OMITTED)
        return {"$ref": f"#/components/schemas/{short}"}

    def message(self, name, without=()):
        fields = [field for field in self.types.messages[name].field if field.name not in without]
        return {
            "type": "object",
            "description": self.types.comments[name],
            "properties": {field.name: self.field(name, field) for field in fields},
        }

    def field(self, message, field):
        schema = self.value(field)
        if field.label == Field.LABEL_REPEATED and not self.is_map(field):
            schema = {"type": "array", "items": schema}
        elif "$ref" in schema:
            schema = {"anyOf": [schema, {"type": "null"}]}
        elif field.HasField("oneof_index"):
            schema = self.nullable(schema)
        return {**schema, "description": self.types.comments[f"{message}.{field.name}"]}

    def nullable(self, schema):
        """One of a field that may be absent."""
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"], "null"]
        enum = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
        return {**schema, "type": kinds, **enum}

    def is_map(self, field):
        message = self.types.messages.get(field.type_name[1:])
        return bool(message and message.options.map_entry)

    def value(self, field):
        if field.type_name == ".google.protobuf.Timestamp":
            return dict(TIME)
        if field.type_name == ".google.protobuf.Duration":
            return dict(DURATION)
        if field.type_name == ".triggers.v1.ItemError":
            return {"$ref": "#/components/schemas/Problem"}
        if self.is_map(field):
            _, value = self.types.messages[field.type_name[1:]].field
            return {"type": "object", "additionalProperties": self.value(value)}
        if field.type == Field.TYPE_MESSAGE:
            return self.reference(field.type_name[1:])
        if field.type == Field.TYPE_ENUM:
            return {"type": "string", "enum": enum_values(self.types.enums[field.type_name[1:]])}
        if field.type == Field.TYPE_BYTES:
            return dict(PAYLOAD if is_payload(field) else BASE64)
        if field.type == Field.TYPE_BOOL:
            return {"type": "boolean"}
        if field.type in NUMBERS:
            kind, form = NUMBERS[field.type]
            return {"type": kind, "format": form}
        return {"type": "string"}

    def example(self, schema):
        """A value as the schema has it; of a text what its description says it is such as."""
        if "$ref" in schema:
            return self.example(self.made[schema["$ref"].rpartition("/")[2]])
        if "anyOf" in schema:
            return self.example(schema["anyOf"][0])
        if "example" in schema:
            return schema["example"]
        if "enum" in schema:
            return schema["enum"][min(1, len(schema["enum"]) - 1)]  # the first is "not stated"
        if schema.get("format") == "date-time":
            return EXAMPLE_TIME
        if schema.get("pattern") == DURATION["pattern"]:
            return EXAMPLE_DURATION
        if "contentEncoding" in schema:
            return EXAMPLE_BASE64
        named = re.search(r'such as "([^"]*)"', schema.get("description", ""))
        if "object" in schema["type"]:
            parts = schema.get("properties", {}).items()
            return {name: self.example(part) for name, part in parts if name != "payload_omitted"}
        if schema["type"] == "array":
            return [self.example(schema["items"])]
        kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
        return {"string": named[1] if named else "text", "boolean": True}.get(kind, 1)


class Description:
    """The document in the making."""

    def __init__(self, frame, files, options):
        self.methods = read_methods(files, options)
        self.types = Types(files)
        self.operations = frame.pop("operations")
        self.errors = frame.pop("errors")
        self.examples = frame.pop("examples")
        self.parameters = frame["components"]["parameters"]
        self.schemas = Schemas(self.types, frame["components"]["schemas"])
        frame["components"]["schemas"] = self.schemas.made
        self.document = frame

    def make(self):
        by_hand = self.document["paths"]
        self.document["paths"] = {}
        for method in self.methods:
            if method.path:
                self.add(method)
        for path, item in by_hand.items():
            for operation in item.values():
                self.add_errors(operation, self.errors["always"])
            self.document["paths"][path] = item
        return self.document

    def add(self, method):
        item = self.document["paths"].setdefault(method.path, {})
        if method.path_fields:
            item["parameters"] = [self.path_parameter(method, name) for name in method.path_fields]
        own = self.operations.get(method.short, {})
        text = re.sub(r"\s*Errors: .*", "", method.comment)
        scope = self.scope_of(method)
        operation = {
            "tags": own.get("tags") or [self.tag(method)],
            "operationId": method.short[0].lower() + method.short[1:],
            "summary": text.partition(".")[0],
            "description": text,
            "security": [{"key": [scope]}] if scope else [],
            **({} if "responses" in own else self.transcoded(method)),
            **own,
        }
        if scope:
            told = operation.get("description", "")
            operation["description"] = f"{told}\n\nA key needs the scope `{scope}`.".strip()
        self.add_errors(operation, self.errors_of(method))
        item[method.verb.lower()] = operation

    def scope_of(self, method):
        """What a key must allow, as texts have it, "events:write"; empty: no key is needed."""
        return "" if method.scope == "NONE" else method.scope.lower().replace("_", ":", 1)

    def tag(self, method):
        """Of a service: "EventService" is "events", "AccessService" is "access"."""
        name = method.service.rpartition(".")[2].removesuffix("Service").lower()
        name += "" if name.endswith("s") else "s"
        if name not in [tag["name"] for tag in self.document["tags"]]:
            self.document["tags"].append({"name": name})
        return name

    def path_parameter(self, method, name):
        if name in self.parameters:
            return {"$ref": f"#/components/parameters/{name}"}
        return {**self.parameter(method, name, "path"), "required": True}

    def parameter(self, method, name, place):
        message = self.types.messages[method.request]
        field = next(field for field in message.field if field.name == name)
        schema = self.schemas.field(method.request, field)
        example = self.schemas.example(schema)
        told = schema.pop("description")
        return {"name": name, "in": place, "description": told, "schema": schema, "example": example}

    def transcoded(self, method):
        """What follows from the messages of a call whose JSON is theirs."""
        fields = [field.name for field in self.types.messages[method.request].field]
        query = [name for name in fields if name not in method.path_fields + [method.body]]
        operation = {}
        if query and method.body != "*":
            operation["parameters"] = [self.parameter(method, name, "query") for name in query]
        if method.body:
            operation["requestBody"] = {"required": True, "content": self.body(method)}
        reference = self.schemas.reference(method.response)
        answer = self.content(reference, self.examples.get(method.short, {}).get("answer"))
        told = self.types.comments[method.response]
        operation["responses"] = {"200": {"description": told, "content": answer}}
        return operation

    def body(self, method):
        if method.body == "*":
            schema = self.schemas.message(method.request, method.path_fields)
            return self.content(schema, self.examples.get(method.short, {}).get("body"))
        return self.content(self.parameter(method, method.body, "body")["schema"])

    def content(self, schema, example=None):
        example = example or self.schemas.example(schema)
        return {"application/json": {"schema": schema, "example": example}}

    def errors_of(self, method):
        """Statuses that follow from what a call is."""
        errors = [*self.errors["always"], *self.errors["core"]]
        if method.verb != "GET":
            errors.append("403")
        if self.scope_of(method):
            errors += self.errors["key"]
        if method.body:
            errors += ["415", "422"]
        elif self.types.messages[method.request].field and not (method.hand_made and method.path_fields):
            errors += ["414", "422"]
        if "NOT_FOUND" in method.comment:
            errors.append("404")
        if "ALREADY_EXISTS" in method.comment or "ABORTED" in method.comment:
            errors.append("409")
        if "OUT_OF_RANGE" in method.comment:
            errors.append("410")
        return errors

    def add_errors(self, operation, statuses):
        responses = operation["responses"]
        for status in statuses:
            named = {"$ref": f"#/components/responses/{self.errors['responses'][status]}"}
            responses.setdefault(status, named)
        operation["responses"] = dict(sorted(responses.items()))


def main(frame, output, folder=HERE):
    description = Description(json.loads(Path(frame).read_text()), *read_files(Path(folder)))
    Path(output).write_text(json.dumps(description.make(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
