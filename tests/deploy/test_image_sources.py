"""What the images are built from: .dockerignore names it, apart from the build's own files."""

import shutil
import subprocess

from support.program import ROOT


def test_images_are_built_from_all_that_meson_names(tmp_path):
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    for name in (line[1:] for line in lines if line.startswith("!")):
        source, copy = ROOT / name, tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy)
        elif source.exists():  # one of them may be laid beside the others
            shutil.copy(source, copy)
    done = subprocess.run(["meson", "setup", "build"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
