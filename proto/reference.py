#!/usr/bin/env python3
"""Writes REFERENCE.md, the protocol on one page, from the .proto files and their comments.

`reference.py [FILE]`; needs protoc and Python's protobuf."""

import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2

HERE = Path(__file__).resolve().parent
FILES = [
    "triggers/v1/events.proto",
    "triggers/health/v1/health.proto",
    "triggers/stats/v1/stats.proto",
    "triggers/rpc/v1/envelope.proto",
]
Field = descriptor_pb2.FieldDescriptorProto
# Numbers of fields in descriptor.proto, of which paths to comments are made.
MESSAGES, ENUMS, SERVICES = 4, 5, 6
FIELDS, NESTED_ENUMS, METHODS, VALUES = 2, 4, 2, 2


def read_files():
    """The FileDescriptorProtos of FILES, in their order."""
    with tempfile.NamedTemporaryFile() as out:
        command = ["protoc", "-I", HERE, "--include_source_info", "-o", out.name, *FILES]
        subprocess.run(command, check=True)
        found = descriptor_pb2.FileDescriptorSet.FromString(Path(out.name).read_bytes())
    files = {file.name: file for file in found.file}
    return [files[name] for name in FILES]


class Page:
    """The lines of the reference."""

    def __init__(self):
        self.lines = [
            "# Protocol reference",
            "",
            "Made by `proto/reference.py` from the comments of the `.proto` files; do not edit.",
        ]

    def add(self, *lines):
        self.lines += ["", *lines]

    def file(self, file):
        self.package = file.package
        self.comments = {
            tuple(location.path): " ".join(location.leading_comments.split())
            for location in file.source_code_info.location
        }
        self.add(f"## {file.package}", "", f"`{file.name}`")
        for number, service in enumerate(file.service):
            self.service(service, (SERVICES, number))
        for number, message in enumerate(file.message_type):
            self.message(message, message.name, (MESSAGES, number))
        for number, enum in enumerate(file.enum_type):
            self.enum(enum, enum.name, (ENUMS, number))

    def service(self, service, path):
        self.add(f"### Service {service.name}", "", self.comments[path])
        self.add("| method | request | response | |", "|---|---|---|---|")
        for number, method in enumerate(service.method):
            full = f"{self.package}.{service.name}/{method.name}"
            types = [self.link(name) for name in (method.input_type, method.output_type)]
            comment = self.comments[(*path, METHODS, number)]
            self.lines.append(f"| `{full}` | {types[0]} | {types[1]} | {comment} |")

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


def main():
    page = Page()
    for file in read_files():
        page.file(file)
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "REFERENCE.md"
    target.write_text("\n".join(page.lines) + "\n")


if __name__ == "__main__":
    main()
