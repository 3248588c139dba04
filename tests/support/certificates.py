"""Certificates made by openssl for one test."""

import os
import subprocess

KINDS = {
    "ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
    "rsa": ["-newkey", "rsa:2048"],
}
HERE = "DNS:localhost,IP:127.0.0.1,IP:::1"


def make_certificate(folder, name="server", valid_for=HERE, kind="ec", issuer=None):
    """A certificate for localhost and its addresses, signed by itself or by `issuer`, the paths of another
    and its key; returns the paths of it and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", f"/CN={name}", *KINDS[kind]]
    command += ["-addext", f"subjectAltName={valid_for}"]
    if issuer:
        command += ["-CA", issuer[0], "-CAkey", issuer[1]]
    command += ["-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def replace_certificate(old, new):
    """Puts the pair of paths `new` in the place of `old`, each file at once."""
    for path, source in zip(old, new):
        os.replace(source, path)
