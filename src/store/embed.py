"""Turns SQL files into C, so that the programs carry them.

usage: embed.py migrations KIND OUTPUT.c FILE...     (files named 0001_subject.sql, 0002_…, without gaps)
       embed.py statements GROUP OUTPUT.c OUTPUT.h FILE...

Migrations become an array that also records each version where its kind of store keeps it. Statements
begin with a line "-- name: NAME" and become enum GROUP_statement, GROUP_NAME, and the array
GROUP_STATEMENTS. Comments on lines of their own are left out.
"""

import pathlib
import re
import sys

RECORD_VERSION = {
    "sqlite": "pragma user_version = {};",
    "postgres": "insert into triggers.schema_version (version) values ({});",
}


def c_string(text):
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in text.splitlines())
    return "\n".join(f'     "{line}\\n"' for line in escaped)


def without_comments(text):
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("--"))


def migrations(kind, output, *files):
    paths = sorted((pathlib.Path(name) for name in files), key=lambda path: path.name)
    versions = [int(path.name.split("_")[0]) for path in paths]
    if versions != list(range(1, len(paths) + 1)):
        sys.exit(f"migrations must be numbered 1, 2, 3, … without gaps: {versions}")
    entries = "".join(
        f"    {{{version}, /* {path.name} */\n"
        f"{c_string(path.read_text() + RECORD_VERSION[kind].format(version))}}},\n"
        for version, path in zip(versions, paths)
    )
    pathlib.Path(output).write_text(
        '#include "store/migrations/migrations.h"\n\n'
        f"const struct migration {kind.upper()}_MIGRATIONS[] = {{\n{entries}    {{0, NULL}},\n}};\n"
    )


def statements(group, source, header, *files):
    found = {}
    for path in map(pathlib.Path, files):
        parts = re.split(r"^-- name: (\w+)$", path.read_text(), flags=re.MULTILINE)
        if without_comments(parts[0]):
            sys.exit(f"{path}: SQL before the first name")
        for name, text in zip(parts[1::2], parts[2::2]):
            if name in found or not without_comments(text):
                sys.exit(f"{path}: {name} is there twice or empty")
            found[name] = without_comments(text)
    prefix = group.upper()
    numbers = "".join(f"    {prefix}_{name.upper()},\n" for name in found)
    pathlib.Path(header).write_text(
        f"/* Made by embed.py. */\n#ifndef TRIGGERS_STORE_{prefix}_STATEMENTS_H\n"
        f"#define TRIGGERS_STORE_{prefix}_STATEMENTS_H\n\n"
        '#include "store/items.h"\n\n'
        f"enum {group}_statement {{\n{numbers}    {prefix}_STATEMENT_COUNT\n}};\n\n"
        f"extern const struct statement {prefix}_STATEMENTS[{prefix}_STATEMENT_COUNT];\n\n#endif\n"
    )
    entries = "".join(
        f'    {{"triggers_{name}",\n{c_string(sql)}}},\n' for name, sql in found.items()
    )
    pathlib.Path(source).write_text(
        f'#include "{pathlib.Path(header).parent.name}/{pathlib.Path(header).name}"\n\n'
        f"const struct statement {prefix}_STATEMENTS[{prefix}_STATEMENT_COUNT] = {{\n{entries}}};\n"
    )


{"migrations": migrations, "statements": statements}[sys.argv[1]](*sys.argv[2:])
