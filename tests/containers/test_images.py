"""What is in the images, what they say of themselves, and what the build refuses to tag."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from containers.engine import BASE, BUILD_OPTIONS
from support.program import ROOT

COMPRESSED_MAX = 50 << 20
LINKED = {
    "triggersd": {
        "libc6", "libmbedcrypto16", "libnng1", "libpq5", "libprotobuf-c1", "libsqlite3-0"
    },
    "triggers-bridge": {
        "libc6", "libgnutls30t64", "libmbedcrypto16", "libmicrohttpd12t64", "libnng1", "libprotobuf-c1"
    },
}


@pytest.fixture(scope="module", params=sorted(LINKED))
def program(request):
    return request.param


@pytest.fixture(scope="module")
def image(program, images):
    return images[program]


@pytest.fixture(scope="module")
def described(image, engine):
    """The image's configuration."""
    return json.loads(engine("image", "inspect", image))[0]


@pytest.fixture(scope="module")
def root(image, engine):
    """The image's root file system, to read."""
    yield Path(engine("image", "mount", image))
    engine("image", "umount", image)


def test_names_its_version_revision_and_source(described):
    labels = described["Labels"]
    version = re.search(r"version: '(.*)'", (ROOT / "meson.build").read_text()).group(1)
    assert labels["org.opencontainers.image.version"] == version
    revision = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert labels["org.opencontainers.image.revision"].removesuffix("-modified") == revision
    assert "org.opencontainers.image.source" in labels


def test_runs_the_program_itself_as_nobody(described, program):
    configuration = described["Config"]
    assert configuration["Entrypoint"] == [program]
    assert configuration["User"] == "10001:10001"
    assert configuration["StopSignal"] in ("SIGTERM", "15")
    assert described["Healthcheck"]["Test"][0] == "CMD", "not through a shell"


def test_holds_only_what_runs(root, program):
    programs = {path.name for path in (root / "usr/bin").iterdir()}
    assert programs == {"triggersd": {"triggersd", "triggers-import", "triggers"}}.get(program, {program})
    executable = [path for path in root.rglob("*") if path.is_file() and path.stat().st_mode & 0o111]
    for path in executable:
        assert path.parent == root / "usr/bin" or ".so" in path.name, path
    assert not any((root / folder).exists() for folder in ("bin", "sbin", "var", "tmp", "home"))


def test_no_file_is_writable_or_gives_rights(root):
    for path in root.rglob("*"):
        if not path.is_symlink():
            status = path.stat()
            assert not status.st_mode & 0o7022, path
            assert status.st_uid == (10001 if path == root / "data" else 0), path


def test_is_small(image, engine, tmp_path):
    archive = tmp_path / "image"
    engine("save", "--format", "oci-archive", "--output", archive, image)  # its layers are compressed
    size = archive.stat().st_size
    print(f"{image}: {size} bytes compressed")
    assert size <= COMPRESSED_MAX


def test_lists_its_parts_and_their_licences(root, program):
    folder = root / "usr/share/doc"
    text = (folder / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    system, *libraries = json.loads(text)["components"]
    assert system == {"type": "operating-system", "name": "debian", "version": "13"}
    parts = {part["name"]: part for part in libraries}
    assert LINKED[program] | {"ca-certificates"} <= set(parts)
    lines = (folder / "licences.txt").read_text().splitlines()
    assert lines[0].endswith(": Apache-2.0") and len(lines) == len(parts) + 1
    for line in lines:
        name, version, _ = line.split(" ", 2)
        assert name == program or parts[name]["version"] == version.rstrip(":")
        assert (folder / name / "copyright").stat().st_size > 0


def test_names_what_advisories_are_matched_by(root):
    """The distribution, and the source packages: Debian's advisories know no others. Trivy knows
    properties by their whole names; without them it takes the binary package for the source."""
    _, *libraries = json.loads((root / "usr/share/doc/sbom.cdx.json").read_text())["components"]
    parts = {part["name"]: part for part in libraries}
    for name, part in parts.items():
        url = PackageURL.from_string(part["purl"])
        assert (url.type, url.namespace, url.name) == ("deb", "debian", name)
        assert url.version == part["version"] and url.qualifiers["distro"] == "debian-13"
    sources = {
        name: {entry["name"]: entry["value"] for entry in part["properties"]} for name, part in parts.items()
    }
    name, version = "aquasecurity:trivy:SrcName", "aquasecurity:trivy:SrcVersion"
    assert all(source.keys() == {name, version} for source in sources.values())
    assert sources["libc6"] == {name: "glibc", version: parts["libc6"]["version"]}
    assert sources["libnng1"][name] == "nng"


def test_a_base_of_another_architecture_is_refused(images, engine):
    """As when a registry or a tag gives the wrong one: what it says it is for is not what it is."""
    other = "arm64" if images["triggersd"].endswith("-amd64") else "amd64"
    good = engine.inspect(BASE, "{{.Id}}")
    container = engine("create", BASE, "true")
    archive = engine.running_folder / "base.tar"
    engine("export", "--output", archive, container)
    engine("import", "--arch", other, archive, BASE)
    archive.unlink()
    try:
        build = [ROOT / "deploy/images/build", "--engine", "podman"]
        done = engine.run(*build, "--platform", f"linux/{other}", "--", *BUILD_OPTIONS)
    finally:
        engine("tag", good, BASE)
        engine("rm", container)
    assert done.returncode == 1 and done.stdout == ""
    assert f"not {other}" in done.stderr
    tags = engine("images", "--format", "{{.Repository}}:{{.Tag}}")
    assert f"-{other}" not in tags
