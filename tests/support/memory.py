"""How much memory a process holds."""

from pathlib import Path

KIB = 1024
MIB = 1024 * KIB


def sanitized(program):
    """Whether a program is built with a sanitizer that needs memory: that of addresses keeps freed
    memory for a while and puts fences around all of it, that of threads notes every access."""
    code = Path(f"/proc/{program.pid}/exe").read_bytes()
    return b"__asan_init" in code or b"__tsan_init" in code


def assert_below(program, highest, bound):
    """Asserts that a program's memory stayed below `bound`, or four times that with sanitizers."""
    limit = bound * 4 if sanitized(program) else bound
    assert highest < limit, f"{program.name} took {highest / MIB:.0f} MiB of {limit / MIB:.0f}"


def resident(program):
    """Bytes of a program's memory that are in RAM."""
    for line in Path(f"/proc/{program.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * KIB
    raise AssertionError("no VmRSS")
