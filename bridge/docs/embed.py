"""Writes the files of this folder and the description of the API as C: embed.py VERSION OUTPUT OPENAPI.

In them "@VERSION@" becomes the version. A page has its style and scripts in it, and a policy that names their
hashes (Content Security Policy 3, section 2.3.1), so that nothing else runs there."""

import base64
import hashlib
import sys
from pathlib import Path

HERE = Path(__file__).parent
POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data:; script-src '{script}'; style-src '{style}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def read(name):
    return (HERE / name).read_text(encoding="utf-8")


def hash_source(text):
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def write_file(name, content_type, text, policy=None):
    data = text.encode()
    rows = [data[i : i + 20] for i in range(0, len(data), 20)]
    array = ",\n".join("    " + ", ".join(map(str, row)) for row in rows)
    policy = f'"{policy}"' if policy else "NULL"
    return (
        f"static const unsigned char {name}_bytes[] = {{\n{array}\n}};\n"
        f'const struct docs_file {name} = {{"{content_type}", {policy}, {name}_bytes, {len(data)}}};\n'
    )


def write_page(name, *scripts):
    style, script = read("page.css"), "".join(map(read, scripts))
    text = read("page.html").replace("@STYLE@", style).replace("@SCRIPT@", script)
    policy = POLICY.format(script=hash_source(script), style=hash_source(style))
    return write_file(name, "text/html; charset=utf-8", text, policy)


def main(version, output, openapi):
    openapi = Path(openapi).read_text(encoding="utf-8").replace("@VERSION@", version)
    parts = [
        '#include "docs.h"\n',
        write_file("DOCS_OPENAPI", "application/json", openapi),
        write_page("DOCS_PAGE", "reference.js", "docs.js"),
        write_page("DOCS_REFERENCE", "reference.js", "redoc.js"),
    ]
    Path(output).write_text("\n".join(parts), encoding="ascii")


main(*sys.argv[1:])
