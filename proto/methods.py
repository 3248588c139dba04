#!/usr/bin/env python3
"""Writes the methods of the protocol as lists for the C preprocessor: `methods.py OUTPUT [FOLDER]`.

FOLDER holds the .proto files, this one by default. What the lists are for is in api.h."""

import re
import sys
from pathlib import Path

from descriptors import HERE, read_files, read_methods


def c_name(name):
    """As protobuf-c names things: "triggers.v1.GetEvent" is "triggers__v1__get_event"."""
    return "__".join(re.sub(r"(?<=[^A-Z])(?=[A-Z])", "_", part).lower() for part in name.split("."))


def c_bool(value):
    return "true" if value else "false"


def quote(text):
    return f'"{text}"'


def method_row(method):
    return [
        c_name(method.short).upper(),
        quote(method.name),
        quote(method.short),
        c_name(method.service),
        str(method.index),
        c_name(method.request),
        c_name(method.response),
        method.scope,
        c_bool(method.repeatable),
        c_bool(method.waits),
    ]


def route_row(method):
    name = "transcoded" if not method.hand_made else c_name(method.short)
    kind = "UNUSED" if not method.body else "LIST" if method.hand_made and method.body != "*" else "OBJECT"
    # Of the path every field is {id} in metrics, whatever its name.
    label = re.sub(r"\{\w+\}", "{id}", method.path)
    row = [quote(method.verb), quote(method.path), quote(label), kind]
    row += [f"{name}_start", f"{name}_finish", f"&api_methods[API_{c_name(method.short).upper()}]"]
    return [*row, quote(method.body)]


def macro(comment, name, rows):
    lines = [f"    X({', '.join(row)})" for row in rows]
    return f"/* {comment} */\n#define {name}(X)" + "".join(f" \\\n{line}" for line in lines) + "\n"


def has_fields(method):
    return bool(method.path_fields)


def main(output, folder=HERE):
    methods = read_methods(*read_files(Path(folder)))
    parts = [
        "/* Made by proto/methods.py from the .proto files. */\n"
        "#ifndef TRIGGERS_API_METHODS_H\n#define TRIGGERS_API_METHODS_H\n",
        macro(
            "By name: enumerator, name, short name, service, index in it, request, response, scope, "
            "whether it is repeatable, whether it waits.",
            "API_METHOD_LIST",
            sorted(map(method_row, methods), key=lambda row: row[1]),
        ),
        macro(
            "Fixed paths come before those with fields: HTTP method, path, the path in metrics, kind of "
            "body, handlers, method, what the body is.",
            "API_ROUTE_LIST",
            [route_row(method) for method in sorted(methods, key=has_fields) if method.path],
        ),
        "#endif\n",
    ]
    Path(output).write_text("\n".join(parts))


if __name__ == "__main__":
    main(*sys.argv[1:])
