"""The bridge's transcoder beside Python's google.protobuf.json_format, where the rules agree.

They differ on purpose: times are always written with microseconds, enums in lower case and without their
prefix, 64-bit numbers as numbers, payloads as the JSON they hold, absent messages as null; whole numbers
are taken in digits alone, and unknown values are refused."""

import base64
import json
import os
import random
import re
import subprocess
import sys

import pytest
from google.protobuf import json_format

from support.program import ROOT, build_folder

FOLDER = ROOT / "tests" / "transcode"
MESSAGES = 400
SEED = int(os.environ.get("TRIGGERS_TEST_SEED", random.randrange(1 << 32)))
WHOLE = {
    "i32": (-(1 << 31), (1 << 31) - 1),
    "s32": (-(1 << 31), (1 << 31) - 1),
    "sf32": (-(1 << 31), (1 << 31) - 1),
    "u32": (0, (1 << 32) - 1),
    "f32": (0, (1 << 32) - 1),
    "i64": (-(1 << 63), (1 << 63) - 1),
    "s64": (-(1 << 63), (1 << 63) - 1),
    "sf64": (-(1 << 63), (1 << 63) - 1),
    "u64": (0, (1 << 64) - 1),
    "f64": (0, (1 << 64) - 1),
}
COLOURS = {0: "unspecified", 1: "red", 2: "light_blue", 3: "other_green"}
STATES = {0: "unknown", 1: "on", -1: "negative"}


@pytest.fixture(scope="session")
def kinds(tmp_path_factory):
    """The module that protoc makes of kinds.proto."""
    folder = tmp_path_factory.mktemp("kinds")
    words = ["protoc", "-I", FOLDER, "-I", "/usr/include", f"--python_out={folder}", "kinds.proto"]
    subprocess.run(words, check=True)
    sys.path.insert(0, str(folder))
    import kinds_pb2

    return kinds_pb2


def transcode(documents):
    """What the transcoder says of each: the packed bytes and the JSON made of them again, or its text."""
    lines = "".join(json.dumps(document) + "\n" for document in documents)
    path = build_folder() / "tests" / "transcode" / "transcode_lines"
    done = subprocess.run([path], input=lines.encode(), capture_output=True, check=True, timeout=120)
    answers = done.stdout.decode().split("\n")[:-1]
    assert len(answers) == len(documents), done.stderr.decode()
    return [answer if answer.startswith("wrong") else read(answer) for answer in answers]


def read(answer):
    packed, _, text = answer.partition(" ")
    return bytes.fromhex(packed), json.loads(text)


class Maker:
    """Makes messages as JSON, in the transcoder's form and in json_format's."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def whole(self, name):
        low, high = WHOLE[name]
        return self.random.choice([0, low, high, self.random.randint(low, high)])

    def text(self):
        letters = 'a"\\/\b\n\té€😀\x7f\u2028'
        return "".join(self.random.choice(letters) for _ in range(self.random.randrange(6)))

    def real(self):
        """Not -0.0, which protobuf-c takes for the default and Python's json for a whole number."""
        bits = self.random.uniform(-1, 1) * 10.0 ** self.random.randint(-300, 300)
        return self.random.choice([0.0, 0.1, 5e-324, 1.7976931348623157e308, bits])

    def time(self):
        year, day = self.random.choice([1, 1969, 1970, 2026, 9999]), self.random.randint(1, 28)
        clock = f"{self.random.randint(0, 23):02}:{self.random.randint(0, 59):02}:59"
        fraction = self.random.choice(["", ".5", ".000001", ".123456"])
        zone = "Z" if year in (1, 9999) else self.random.choice(["Z", "+02:30", "-11:00"])
        return f"{year:04}-{self.random.randint(1, 12):02}-{day:02}T{clock}{fraction}{zone}"

    def duration(self):
        """As both write it, but for the digits of a fraction that are not needed."""
        seconds = self.random.choice([0, 1, 315575999999, self.random.randrange(1 << 33)])
        fraction = self.random.choice(["", ".5", ".001", ".000001", ".123456789", f".{self.random.randrange(1000):03}"])
        sign = "-" if self.random.random() < 0.3 else ""
        return f"{sign}{seconds}{fraction}s"

    def raw(self):
        """Base64 in either alphabet, padded or not."""
        data = base64.b64encode(self.random.randbytes(self.random.randrange(9)), self.random.choice([b"+/", b"-_"]))
        return data.decode().rstrip("=") if self.random.random() < 0.5 else data.decode()

    def list(self, make):
        return [make() for _ in range(self.random.randrange(5))]

    def map(self, make):
        return {self.text(): make() for _ in range(self.random.randrange(4))}

    def part(self):
        part = {"name": self.text(), "labels": self.list(self.text)}
        part["deep"] = self.random.choice([None, {"depth": self.whole("i32")}])
        return part

    def fields(self):
        makers = {name: lambda name=name: self.whole(name) for name in WHOLE}
        makers |= {"twice": self.real, "truth": lambda: self.random.random() < 0.5, "text": self.text}
        makers |= {"at": self.time, "part": self.part, "inner": self.message}
        makers |= {"numbers": lambda: self.list(lambda: self.whole("i32"))}
        makers |= {"large": lambda: self.list(lambda: self.whole("u64"))}
        makers |= {"reals": lambda: self.list(self.real), "texts": lambda: self.list(self.text)}
        makers |= {"times": lambda: self.list(self.time), "parts": lambda: self.list(self.part)}
        makers |= {"attributes": lambda: self.map(self.text), "named": lambda: self.map(self.part)}
        makers |= {"counts": lambda: self.map(lambda: self.whole("i64"))}
        makers |= {"raw": self.raw, "raws": lambda: self.list(self.raw), "blobs": lambda: self.map(self.raw)}
        makers |= {"wait": self.duration, "waits": lambda: self.list(self.duration)}
        makers |= {"delays": lambda: self.map(self.duration)}
        makers |= {"single": lambda: self.random.choice([0.0, 0.5, -1.25, 1e20])}
        makers |= {"optional_count": lambda: self.whole("u32")}
        choice = {"chosen_number": lambda: self.whole("i64"), "chosen_text": self.text}
        choice |= {"chosen_part": self.part, "chosen_time": self.time}
        choice |= {"chosen_wait": self.duration, "chosen_raw": self.raw}
        name = self.random.choice(sorted(choice))
        return makers | {name: choice[name]}

    def message(self):
        makers = self.fields()
        names = self.random.sample(sorted(makers), self.random.randrange(len(makers)))
        if self.random.random() < 0.9 and "inner" in names:
            names.remove("inner")
        return {name: None if self.random.random() < 0.1 else makers[name]() for name in names}


def as_json_format(value):
    """The JSON that the transcoder writes, as json_format does: what is null is left out, 64-bit numbers
    are strings, times have the digits that they need, enums are their names."""
    if not isinstance(value, dict):
        return value
    changed = {}
    for name, member in value.items():
        if member is not None:
            changed[name] = convert(name, member)
    return changed


def short_time(text):
    fraction = re.search(r"\.(\d{6})Z$", text)[1]
    digits = "" if fraction == "000000" else "." + (fraction[:3] if fraction[3:] == "000" else fraction)
    return text[: -len("000000Z") - 1] + digits + "Z"


def convert(name, member):
    if name in ("i64", "s64", "sf64", "u64", "f64", "chosen_number"):
        return str(member)
    if name == "large":
        return [str(number) for number in member]
    if name == "counts":
        return {key: str(number) for key, number in member.items()}
    if name in ("at", "chosen_time"):
        return short_time(member)
    if name == "times":
        return [short_time(text) for text in member]
    if name == "colour":
        return {text: number for number, text in COLOURS.items()}[member]
    if name == "state":
        return {text: number for number, text in STATES.items()}[member]
    if name in ("inner", "part", "deep", "chosen_part"):
        return as_json_format(member)
    if name == "parts":
        return [as_json_format(part) for part in member]
    if name == "named":
        return {key: as_json_format(part) for key, part in member.items()}
    return member


def as_ours(message):
    """json_format's JSON of a message, with all fields that are no messages."""
    text = json_format.MessageToJson(
        message,
        including_default_value_fields=True,
        preserving_proto_field_name=True,
        use_integers_for_enums=True,
    )
    return json.loads(text)


def without_payloads(value):
    """Nor what is said of them: the transcoder leaves out what is not so."""
    if isinstance(value, list):
        return [without_payloads(element) for element in value]
    if not isinstance(value, dict):
        return value
    return {name: without_payloads(member) for name, member in value.items() if not name.startswith("payload")}


def test_messages_are_read_and_written_as_by_json_format(kinds):
    print(f"TRIGGERS_TEST_SEED={SEED}")
    maker = Maker(SEED)
    documents = [maker.message() for _ in range(MESSAGES)]
    for document, answer in zip(documents, transcode(documents)):
        assert not isinstance(answer, str), (document, answer)
        packed, shown = answer
        theirs = json_format.ParseDict(document, kinds.Kinds())
        ours = kinds.Kinds.FromString(packed)
        assert ours == theirs, document
        assert without_payloads(as_json_format(shown)) == without_payloads(as_ours(theirs)), document


def test_what_is_written_reads_as_the_same_message(kinds):
    maker = Maker(SEED + 1)
    first = transcode([maker.message() for _ in range(MESSAGES)])
    again = transcode([shown for _, shown in first])
    assert again == first


def test_enums_are_lower_case_and_payloads_are_json(kinds):
    documents = [{"colour": text} for text in COLOURS.values()] + [{"state": text} for text in STATES.values()]
    messages = [kinds.Kinds.FromString(packed) for packed, _ in transcode(documents)]
    assert [message.colour for message in messages[: len(COLOURS)]] == list(COLOURS)
    assert [message.state for message in messages[len(COLOURS) :]] == list(STATES)
    [(packed, shown)] = transcode([{"payload": {"a": [1, {"b": None}]}, "part": {"payload": {"c": 2}}}])
    message = kinds.Kinds.FromString(packed)
    assert message.payload == b'{"a": [1, {"b": null}]}'
    assert message.part.payload == b'{"c": 2}'
    assert base64.b64decode(as_ours(message)["payload"]) == message.payload
    assert shown["payload"] == {"a": [1, {"b": None}]}


# Both refuse these.
WRONG = [
    {"i32": 1 << 31},
    {"u32": -1},
    {"u64": 1 << 64},
    {"i32": 1.5},
    {"i32": "x"},
    {"i64": True},
    {"truth": "true"},
    {"truth": 1},
    {"text": 1},
    {"texts": "a"},
    {"texts": [None]},
    {"parts": [None]},
    {"parts": {}},
    {"part": {"labels": [1]}},
    {"named": {"a": None}},
    {"attributes": []},
    {"attributes": {"a": 1}},
    {"colour": "pink"},
    {"at": "2026-02-30T00:00:00Z"},
    {"at": "2026-01-01"},
    {"at": 1},
    {"chosen_text": "a", "chosen_number": 1},
    {"single": 1e39},
    {"wait": 1},
    {"wait": "1"},
    {"wait": "s"},
    {"wait": "1.5"},
    {"wait": "315576000001s"},
    {"waits": [None]},
    {"raw": "a"},
    {"raw": "aaaaa"},
    {"chosen_wait": "1s", "chosen_raw": ""},
]


def test_what_json_format_refuses_is_refused(kinds):
    for document, answer in zip(WRONG, transcode(WRONG)):
        with pytest.raises(json_format.ParseError):
            json_format.ParseDict(document, kinds.Kinds())
        assert isinstance(answer, str) and answer.startswith("wrong #"), (document, answer)
