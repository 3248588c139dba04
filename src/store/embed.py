"""Turns SQL files into C, so that the programs carry them.

usage: embed.py migrations KIND OUTPUT.c FILE...     (files named 0001_subject.sql, 0002_…, without gaps)
       embed.py statements GROUP OUTPUT.c OUTPUT.h FILE...

Migrations become an array that also records each version where its kind of store keeps it. Statements
begin with a line "-- name: NAME" and become enum GROUP_statement, GROUP_NAME, and the array
GROUP_STATEMENTS. Comments on lines of their own are left out. After the name may follow
", sized by $N", which makes a second statement NAME_sized that stops where the payloads exceed $N
bytes, and ", with PART", which puts the query after "-- part: PART" before it as a common table
expression, or before its own.
"""

import pathlib
import re
import sys

RECORD_VERSION = {
    "sqlite": "pragma user_version = {};",
    "postgres": "insert into triggers.schema_version (version) values ({});",
}

HEADING = r"^-- (name|part): (\w+)(?:, sized by (\$\d+))?(?:, with (\w+))?$"

# A payload counts where it begins, so that the event that exceeds the limit is the last: it tells that
# there is more.
SIZED = """select * from (
select page.*, row_number() over (rows unbounded preceding) as number,
sum(octet_length(payload)) over (rows unbounded preceding) - octet_length(payload) as before
from (
{sql}) page) sized
where payload is null or number <= 2 or before <= {size}::bigint;"""


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
    parts = {}
    for path in map(pathlib.Path, files):
        pieces = re.split(HEADING, path.read_text(), flags=re.MULTILINE)
        if without_comments(pieces[0]):
            sys.exit(f"{path}: SQL before the first name")
        for kind, name, size, part, text in zip(*(pieces[i::5] for i in range(1, 6))):
            sql = without_comments(text)
            if name in found or name in parts or not sql:
                sys.exit(f"{path}: {name} is there twice or empty")
            if kind == "part":
                parts[name] = sql
                continue
            prefix = f"with {part} as materialized (\n{parts[part]})" if part else ""
            if part:
                prefix += ",\n" if sql.startswith("with ") else "\n"
                sql = sql.removeprefix("with ")
            found[name] = prefix + sql
            if size:
                found[name + "_sized"] = prefix + SIZED.format(sql=sql.removesuffix(";"), size=size)
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
