"""Turns numbered SQL files into a C array, so that the programs carry their migrations.

usage: embed.py OUTPUT ARRAY FILE...   (files named 0001_subject.sql, 0002_…, without gaps)
"""
import pathlib
import sys


def c_string(text):
    lines = text.splitlines()
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return "\n".join(f'        "{line}\\n"' for line in escaped)


def main(output, array, *files):
    paths = sorted((pathlib.Path(name) for name in files), key=lambda path: path.name)
    versions = [int(path.name.split("_")[0]) for path in paths]
    if versions != list(range(1, len(paths) + 1)):
        sys.exit(f"migrations must be numbered 1, 2, 3, … without gaps: {versions}")
    entries = "".join(
        f"    {{{version}, /* {path.name} */\n{c_string(path.read_text())}}},\n"
        for version, path in zip(versions, paths)
    )
    pathlib.Path(output).write_text(
        '#include "store/migrations/migrations.h"\n\n'
        f"const struct migration {array}[] = {{\n{entries}    {{0, NULL}},\n}};\n"
    )


main(*sys.argv[1:])
