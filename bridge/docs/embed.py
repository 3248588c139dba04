"""Writes files as C arrays: embed.py VERSION OUTPUT NAME=FILE...

Each becomes `NAME` and `NAME_size`; "@VERSION@" in them is replaced."""

import sys


def array(name, data):
    rows = [data[i : i + 20] for i in range(0, len(data), 20)]
    text = ",\n".join("    " + ", ".join(map(str, row)) for row in rows)
    return (
        f"const unsigned char {name}[] = {{\n{text}\n}};\n"
        f"const size_t {name}_size = sizeof({name});\n"
    )


def main(version, output, *inputs):
    parts = ['#include "docs.h"\n']
    for item in inputs:
        name, path = item.split("=", 1)
        with open(path, "rb") as file:
            parts.append(array(name, file.read().replace(b"@VERSION@", version.encode())))
    with open(output, "w", encoding="ascii") as file:
        file.write("\n".join(parts))


main(*sys.argv[1:])
