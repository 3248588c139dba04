"""The .proto files as the generators read them: descriptors with their comments and options.

Needs protoc and Python's protobuf."""

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import descriptor_pb2

HERE = Path(__file__).resolve().parent
OPTIONS = "triggers/api/v1/options.proto"
HTTP_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
Field = descriptor_pb2.FieldDescriptorProto
# Numbers of fields in descriptor.proto, of which paths to comments are made.
MESSAGES, ENUMS, SERVICES = 4, 5, 6
FIELDS, NESTED, NESTED_ENUMS, METHODS, VALUES = 2, 3, 4, 2, 2


def read_files(root=HERE):
    """Every .proto file below `root` as FileDescriptorProto, those of fewer folders first; and the
    module made from the options, which must be loaded before options are parsed."""
    names = [str(path.relative_to(root)) for path in root.glob("triggers/**/*.proto")]
    names.sort(key=lambda name: (name.count("/"), name))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        common = ["protoc", "-I", root, "-I", HERE]
        subprocess.run([*common, "--include_source_info", "-o", out, *names], check=True)
        subprocess.run([*common, f"--python_out={folder}", OPTIONS], check=True)
        sys.path.insert(0, folder)
        from triggers.api.v1 import options_pb2

        sys.path.remove(folder)
        found = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    files = {file.name: file for file in found.file}
    return [files[name] for name in names], options_pb2


def read_comments(file):
    """Comments by the paths of what they are about."""
    return {
        tuple(location.path): " ".join(location.leading_comments.split())
        for location in file.source_code_info.location
    }


@dataclass
class Method:
    """One rpc with what its options say."""

    name: str  # "package.Service/Method"
    short: str  # "Method"
    service: str  # "package.Service"
    index: int  # in the service
    request: str  # "package.Message"
    response: str
    comment: str
    verb: str  # "GET"
    path: str  # "/api/v1/events/{event_id}"
    body: str
    hand_made: bool
    scope: str  # "EVENTS_READ"
    repeatable: bool
    waits: bool

    @property
    def path_fields(self):
        return re.findall(r"\{(\w+)\}", self.path)


def read_methods(files, options):
    """All methods. Exits when what one states is wrong."""
    messages = {f"{file.package}.{m.name}": m for file in files for m in file.message_type}
    methods = []
    for file in files:
        comments = read_comments(file)
        for number, service in enumerate(file.service):
            for index, rpc in enumerate(service.method):
                comment = comments.get((SERVICES, number, METHODS, index), "")
                methods.append(_read(options, f"{file.package}.{service.name}", index, rpc, comment))
    for method in methods:
        _check(method, messages[method.request])
    _check_unique([method.short for method in methods], "name")
    _check_unique([(m.verb, re.sub(r"\{\w+\}", "{}", m.path)) for m in methods if m.path], "route")
    return methods


def _read(options, service, index, rpc, comment):
    call = rpc.options.Extensions[options.call]
    verb, _, path = call.http.rpartition(" ")
    return Method(
        name=f"{service}/{rpc.name}",
        short=rpc.name,
        service=service,
        index=index,
        request=rpc.input_type[1:],
        response=rpc.output_type[1:],
        comment=comment,
        verb=verb,
        path=path,
        body=call.body,
        hand_made=call.hand_made,
        scope=options.Scope.Name(call.scope).removeprefix("SCOPE_"),
        repeatable=call.repeatable,
        waits=call.waits,
    )


def _check(method, request):
    fields = {field.name: field for field in request.field}
    path = r"(/([\w-]+|\{\w+\}))+"
    if method.path and (method.verb not in HTTP_METHODS or not re.fullmatch(path, method.path)):
        _refuse(method, 'http must be a method and a path, such as "GET /api/v1/events/{event_id}"')
    if method.scope == "UNSPECIFIED":
        _refuse(method, "scope must be stated; SCOPE_NONE is for anyone")
    for name in method.path_fields:
        if name not in fields or fields[name].label == Field.LABEL_REPEATED:
            _refuse(method, f"{{{name}}} in the path is no single field of {method.request}")
    if method.body not in ("", "*") and method.body not in fields:
        _refuse(method, f'body "{method.body}" is no field of {method.request}')
    if method.waits and ("wait_ms" not in fields or fields["wait_ms"].type != Field.TYPE_UINT32):
        _refuse(method, f"a method that waits has a field wait_ms, a uint32, in {method.request}")
    if method.body and method.verb in ("GET", "DELETE"):
        _refuse(method, f"{method.verb} has no body")


def _check_unique(values, what):
    for value in values:
        if values.count(value) > 1:
            sys.exit(f"two methods have the {what} {value}")


def _refuse(method, problem):
    sys.exit(f"{method.name}: {problem}")
