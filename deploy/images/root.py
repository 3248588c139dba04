#!/usr/bin/env python3
"""Makes the root file system of an image: root.py FOLDER PROGRAM… copies the programs, the shared
libraries they load and the certificate authorities that Debian trusts, and writes what they are to
FOLDER/usr/share/doc: an SBOM (CycloneDX 1.5) and a list of licences, with the texts beside it."""

import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
DATABASE_AUTHORITIES = Path(__file__).with_name("database.pem")
FIELDS = ("Package", "Version", "Architecture", "source:Package", "source:Version")
SYSTEM = platform.freedesktop_os_release()
ID = 10001  # of the user, who owns nothing but the volume


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def libraries(program):
    """The paths at which a program finds its shared libraries, the loader among them."""
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", run("ldd", program))]


def copy(path, root):
    """Copies a file to the same place below `root`, and what it links to."""
    real = path.resolve()
    target = root / real.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(real, target)
    link = root / path.parent.resolve().relative_to("/") / path.name
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(real)


def owner(path):
    """The Debian package that a file belongs to: its FIELDS."""
    name = run("dpkg-query", "--search", str(path.resolve())).rsplit(": ", 1)[0]
    format_ = "\n".join("${%s}" % field for field in FIELDS)
    return dict(zip(FIELDS, run("dpkg-query", "--show", "--showformat", format_, name).split("\n")))


def licences(package):
    """The names in a package's machine-readable copyright file; none when it is not of that form."""
    text = Path("/usr/share/doc", package["Package"], "copyright").read_text(errors="replace")
    if not text.startswith("Format:"):
        return []
    return sorted(set(re.findall(r"^License: *(\S.*)$", text, re.MULTILINE)))


def component(package):
    """A package as CycloneDX describes it. Debian's advisories name source packages, for which there is
    no field: the properties are those from which Trivy takes them."""
    names = [{"license": {"name": name}} for name in licences(package)]
    purl = "pkg:deb/debian/{Package}@{Version}?arch={Architecture}&distro=".format(**package)
    purl = purl.replace("+", "%2B") + "{ID}-{VERSION_ID}".format(**SYSTEM)
    found = {"type": "library", "bom-ref": purl, "name": package["Package"], "version": package["Version"]}
    found["properties"] = [
        {"name": "aquasecurity:trivy:SrcName", "value": package["source:Package"]},
        {"name": "aquasecurity:trivy:SrcVersion", "value": package["source:Version"]},
    ]
    return {**found, "purl": purl, **({"licenses": names} if names else {})}


def project_version():
    return re.search(r"version: '([^']+)'", (SOURCE / "meson.build").read_text()).group(1)


def write_papers(root, name, packages):
    """The SBOM, the list of licences and their texts."""
    folder = root / "usr/share/doc"
    ours = {"type": "application", "name": name, "version": project_version()}
    ours["licenses"] = [{"license": {"id": "Apache-2.0"}}]
    document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1}
    document["metadata"] = {"component": ours}
    system = {"type": "operating-system", "name": SYSTEM["ID"], "version": SYSTEM["VERSION_ID"]}
    document["components"] = [system, *(component(package) for package in packages)]
    lines = [f"{name} {ours['version']}: Apache-2.0"]
    for package in packages:
        text = folder / package["Package"] / "copyright"
        text.parent.mkdir(parents=True)
        shutil.copy(Path("/") / text.relative_to(root), text)
        names = ", ".join(licences(package)) or f"see {package['Package']}/copyright"
        lines.append(f"{package['Package']} {package['Version']}: {names}")
    shutil.copytree("/usr/share/common-licenses", root / "usr/share/common-licenses", symlinks=True)
    (folder / name).mkdir()
    shutil.copy(SOURCE / "LICENSE", folder / name / "copyright")
    (folder / "sbom.cdx.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder / "licences.txt").write_text("\n".join(lines) + "\n")


def write_settings(root):
    """A name for the user, and host names asked of /etc/hosts first: libc's own default is not that."""
    (root / "etc/passwd").write_text(f"triggers:x:{ID}:{ID}::/data:/none\n")
    (root / "etc/group").write_text(f"triggers:x:{ID}:\n")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")


def trust_database(root):
    """Those who sign the database's certificate, when an operator has put them beside this file."""
    if DATABASE_AUTHORITIES.exists():
        shutil.copyfile(DATABASE_AUTHORITIES, root / "etc/ssl/database.pem")


def main(root, programs):
    (root / "usr/bin").mkdir(parents=True)
    for folder in ("lib", "lib64"):
        if Path("/", folder).exists():
            (root / folder).symlink_to(f"usr/{folder}")
    for program in programs:
        shutil.copy2(program, root / "usr/bin")
    found = {path for program in programs for path in libraries(program)}
    for path in [*found, AUTHORITIES]:
        copy(path, root)
    trust_database(root)
    packages = {package["Package"]: package for package in map(owner, found)}
    packages["ca-certificates"] = owner(Path("/usr/sbin/update-ca-certificates"))
    write_papers(root, programs[0].name, [packages[name] for name in sorted(packages)])
    write_settings(root)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(program) for program in sys.argv[2:]])
