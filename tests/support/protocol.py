"""The protocol as any outsider has it: Python messages made from the .proto files by protoc."""

import atexit
import shutil
import subprocess
import sys
import tempfile

from support.program import ROOT

PROTO = ROOT / "proto"


def _generate():
    folder = tempfile.mkdtemp(prefix="triggers-proto-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("triggers/**/*.proto"))
    subprocess.run(["protoc", "-I", PROTO, f"--python_out={folder}", *files], check=True)
    sys.path.insert(0, folder)


_generate()

from triggers.api.v1 import options_pb2 as options  # noqa: E402
from triggers.health.v1 import health_pb2 as health  # noqa: E402
from triggers.rpc.v1 import envelope_pb2 as envelope  # noqa: E402
from triggers.stats.v1 import stats_pb2 as stats  # noqa: E402
from triggers.v1 import access_pb2 as access  # noqa: E402
from triggers.v1 import events_pb2 as events  # noqa: E402
from triggers.v1 import subscriptions_pb2 as subscriptions  # noqa: E402

__all__ = ["access", "envelope", "events", "health", "options", "stats", "subscriptions", "PROTO"]
