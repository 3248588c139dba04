"""What each binding checks in its own language, and that all have one version."""

import json
import os
import re
import subprocess
from xml.etree import ElementTree

import pytest

from bindings.harness import RUN_SECONDS, project_version
from support.bindings import BINDINGS
from support.program import ROOT


def test_linters_types_and_tests(binding, record_property):
    if binding.compiled:
        manifest = ROOT / "clients" / binding.language / "meson.build"
        assert manifest.exists()  # the compiler's warnings are errors in the build that was made
        return
    if binding.arguments:
        pytest.skip("another binding is of the same package")
    done = subprocess.run(
        binding.command("check"),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        env={**os.environ, "CI": "true"},
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for line in re.findall(".*# SKIP.*", done.stdout):
        record_property("left out", f"{binding.name}: {line}")


def version_of_toml(path):
    return re.search(r'^version = "([^"]+)"', path.read_text(), re.MULTILINE).group(1)


def version_of_json(path):
    return json.loads(path.read_text())["version"]


def version_of_pom(path):
    return ElementTree.parse(path).getroot().findtext("{*}version")


def version_of_dependency(path):
    return re.search("<version>(.+)</version>", path.read_text()).group(1)


MANIFESTS = {
    "python/pyproject.toml": version_of_toml,
    "rust/Cargo.toml": version_of_toml,
    "typescript/package.json": version_of_json,
    "java/pom.xml": version_of_pom,
    "java/README.md": version_of_dependency,
}


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_one_version(manifest):
    assert MANIFESTS[manifest](ROOT / "clients" / manifest) == project_version()


def test_go_has_the_version_too():
    """A Go module has no manifest with a version; what it sends is a constant."""
    sources = (ROOT / "clients" / "go").glob("*.go")
    found = re.findall(r'\b[vV]ersion\s*=\s*"([^"]+)"', "".join(path.read_text() for path in sources))
    assert found == [project_version()]


def test_every_language_has_a_folder():
    for binding in BINDINGS:
        assert (binding.folder / "README.md").exists(), f"{binding.folder} has no README.md"
