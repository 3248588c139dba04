"""What `meson install` puts where, used as a new user of the C library does; the manual pages."""

import os
import re
import subprocess

import pytest

from bindings.harness import project_version
from support.program import ROOT, program_path

MAN_PAGES = ["triggers.1", "libtriggers.3", "triggers-bridge.8", "triggers-import.8", "triggersd.8"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The prefix of an installed release build, which is that of the benchmarks."""
    build = ROOT / "build" / "bench"
    prefix = tmp_path_factory.mktemp("prefix")
    if not (build / "build.ninja").exists():
        subprocess.run(["meson", "setup", build, ROOT, "-Dbuildtype=release"], check=True)
    subprocess.run(["meson", "configure", build, f"--prefix={prefix}", "-Dlibdir=lib"], check=True)
    subprocess.run(["meson", "install", "-C", build, "--quiet"], check=True)
    return prefix


def pkg_config(prefix, *words):
    environment = {**os.environ, "PKG_CONFIG_PATH": f"{prefix}/lib/pkgconfig"}
    command = ["pkg-config", *words, "triggers"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_everything_is_installed(installed):
    version = project_version()
    for name in (
        "bin/triggers",
        "bin/triggersd",
        "bin/triggers-import",
        "bin/triggers-bridge",
        "include/triggers.h",
        "include/triggers.hpp",
        f"lib/libtriggers.so.{version}",
        "lib/libtriggers.so",
        "lib/libtriggers.a",
        "lib/pkgconfig/triggers.pc",
        *(f"share/man/man{page[-1]}/{page}" for page in MAN_PAGES),
    ):
        assert (installed / name).exists(), f"{name} is not installed"
    assert pkg_config(installed, "--modversion") == [version]


def static_libraries(prefix):
    words = pkg_config(prefix, "--static", "--libs")
    return [f"{prefix}/lib/libtriggers.a" if word == "-ltriggers" else word for word in words]


def public_functions():
    header = (ROOT / "clients" / "c" / "triggers.h").read_text()
    functions = re.findall(r"^TRIGGERS_API [^;]*?(triggers_\w+)\(", header, re.MULTILINE)
    assert len(functions) > 20
    return functions


def defined_names(library, *options):
    command = ["nm", "--defined-only", "--portability", *options, library]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split()[0] for line in done.stdout.splitlines() if len(line.split()) > 2]


@pytest.mark.parametrize(("library", "option"), [("libtriggers.a", "-g"), ("libtriggers.so", "-D")])
def test_the_library_has_the_names_of_its_header_alone(installed, library, option):
    assert sorted(defined_names(installed / "lib" / library, option)) == sorted(public_functions())


def test_names_within_the_library_are_free_for_programs(installed, tmp_path, start_core):
    """A program that defines every one of them links with the static library, and that uses its own."""
    within = set(defined_names(ROOT / "build" / "bench" / "src" / "base" / "libbase.a", "-g"))
    assert "arena_init" in within
    example = (ROOT / "clients" / "c" / "examples" / "producer.c").read_text()
    source = tmp_path / "program.c"
    source.write_text(example + "".join(f"int {name}(void) {{ abort(); }}\n" for name in sorted(within)))
    libraries = static_libraries(installed)
    shown = build_and_run(installed, tmp_path, start_core(), ["cc"], source, libraries)
    assert shown.count("evt_") == 3


def build_and_run(prefix, folder, core, compiler, source, libraries):
    program = folder / "program"
    words = [*compiler, source, "-o", program, *pkg_config(prefix, "--cflags"), *libraries]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    environment = {**os.environ, "TRIGGERS_CORE": core.url, "LD_LIBRARY_PATH": f"{prefix}/lib"}
    done = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("compiler", "example"),
    [(["cc"], "c/examples/producer.c"), (["c++", "-std=c++17"], "cpp/examples/producer.cc")],
    ids=["c", "cpp"],
)
@pytest.mark.parametrize("linked", ["shared", "static"])
def test_a_program_outside_the_tree(installed, tmp_path, start_core, compiler, example, linked):
    libraries = static_libraries(installed) if linked == "static" else pkg_config(installed, "--libs")
    source = ROOT / "clients" / example
    shown = build_and_run(installed, tmp_path, start_core(), compiler, source, libraries)
    assert len(re.findall(r"^evt_\S{26}$", shown, re.MULTILINE)) == 3


@pytest.mark.parametrize("name", ["triggers", "triggersd", "triggers-bridge"])
def test_manual_names_every_flag_and_variable(name):
    command = [program_path(name), "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    [page] = [page for page in MAN_PAGES if page.startswith(f"{name}.")]
    text = (ROOT / "deploy" / "man" / page).read_text().replace("\\-", "-")
    for flag in re.findall(r"^ +--([a-z-]+)", told, re.MULTILINE):
        assert f"Fl -{flag}" in text, f"{page} does not name --{flag}"
    for variable in re.findall(r"\(([A-Z_]+)\)", told):
        assert variable in text, f"{page} does not name {variable}"


def test_manual_names_every_function():
    text = (ROOT / "deploy" / "man" / "libtriggers.3").read_text()
    assert not [name for name in public_functions() if f".Fo {name}\n" not in text]
