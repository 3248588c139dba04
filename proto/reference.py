#!/usr/bin/env python3
"""Writes REFERENCE.md, the protocol on one page, from the .proto files and their comments.

`reference.py [FILE]`."""

import sys
from pathlib import Path

from descriptors import (
    ENUMS,
    FIELDS,
    HERE,
    MESSAGES,
    METHODS,
    NESTED_ENUMS,
    SERVICES,
    VALUES,
    Field,
    read_comments,
    read_files,
    read_methods,
)


class Page:
    """The lines of the reference."""

    def __init__(self, methods):
        self.methods = {method.name: method for method in methods}
        self.lines = [
            "# Protocol reference",
            "",
            "Made by `proto/reference.py` from the comments of the `.proto` files; do not edit.",
        ]

    def add(self, *lines):
        self.lines += ["", *lines]

    def file(self, file):
        self.package = file.package
        self.comments = read_comments(file)
        self.add(f"## {file.package}", "", f"`{file.name}`")
        for number, service in enumerate(file.service):
            self.service(service, (SERVICES, number))
        for number, message in enumerate(file.message_type):
            self.message(message, message.name, (MESSAGES, number))
        for number, enum in enumerate(file.enum_type):
            self.enum(enum, enum.name, (ENUMS, number))

    def service(self, service, path):
        self.add(f"### Service {service.name}", "", self.comments[path])
        self.add("| method | request | response | over HTTP | scope | |", "|---|---|---|---|---|---|")
        for rpc in service.method:
            method = self.methods[f"{self.package}.{service.name}/{rpc.name}"]
            cells = [f"`{method.name}`", self.link(rpc.input_type), self.link(rpc.output_type)]
            cells += [f"`{method.verb} {method.path}`" if method.path else "", scope(method), method.comment]
            self.lines.append(f"| {' | '.join(cells)} |")

    def message(self, message, name, path):
        self.add(f"### {name}", "", self.comments[path])
        entries = {f".{self.package}.{name}.{n.name}": n for n in message.nested_type}
        if message.field:
            self.add("| field | number | type | |", "|---|---|---|---|")
        for number, field in enumerate(message.field):
            kind = self.type(field, entries)
            if field.HasField("oneof_index"):
                kind += f", one of `{message.oneof_decl[field.oneof_index].name}`"
            comment = self.comments[(*path, FIELDS, number)]
            self.lines.append(f"| `{field.name}` | {field.number} | {kind} | {comment} |")
        for number, enum in enumerate(message.enum_type):
            self.enum(enum, f"{name}.{enum.name}", (*path, NESTED_ENUMS, number))

    def enum(self, enum, name, path):
        self.add(f"### {name}", "", self.comments[path])
        self.add("| value | number | |", "|---|---|---|")
        for number, value in enumerate(enum.value):
            comment = self.comments[(*path, VALUES, number)]
            self.lines.append(f"| `{value.name}` | {value.number} | {comment} |")

    def type(self, field, entries):
        if field.type_name in entries:
            key, value = entries[field.type_name].field
            return f"map of {self.type(key, {})} to {self.type(value, {})}"
        named = field.type in (Field.TYPE_MESSAGE, Field.TYPE_ENUM)
        kind = self.link(field.type_name) if named else Field.Type.Name(field.type)[5:].lower()
        return f"list of {kind}" if field.label == Field.LABEL_REPEATED else kind

    def link(self, name):
        """A link to a type's heading, as GitHub names headings."""
        name = name[1:]
        if not name.startswith("triggers."):
            return f"`{name}`"
        short = name.split(".v1.")[1]
        return f"[{short}](#{short.lower().replace('.', '')})"


def scope(method):
    """As keys name it."""
    family, _, right = method.scope.lower().rpartition("_")
    return "" if method.scope == "NONE" else f"`{family}:{right}`" if family else f"`{right}`"


def main():
    files, options = read_files()
    page = Page(read_methods(files, options))
    for file in files:
        page.file(file)
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "REFERENCE.md"
    target.write_text("\n".join(page.lines) + "\n")


if __name__ == "__main__":
    main()
