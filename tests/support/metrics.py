"""Prometheus text read by a reader of its own, strict in what our programs write."""

import re

SAMPLE = re.compile(r"([a-z_]+)(?:\{(.+)\})? (\S+)")
LABEL = re.compile(r'([a-z_]+)="([^"\\]*)"(?:,|$)')
SUFFIXES = re.compile(r"_(bucket|sum|count)$")


class Metrics:
    """The samples of one answer: `value(name, **labels)` adds up those that match."""

    def __init__(self, text):
        self.types = {}
        self.samples = []
        assert text.endswith("\n")
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name not in self.types, f"{name} comes twice"
                self.types[name] = kind
            elif not line.startswith("# HELP "):
                self.samples.append(self.sample(line))

    def sample(self, line):
        name, labels, value = SAMPLE.fullmatch(line).groups()
        assert self.family(name), f"no type before {line}"
        return name, dict(LABEL.findall(labels or "")), float(value)

    def family(self, name):
        """The metric that a sample's name belongs to; None when there is no such."""
        short = SUFFIXES.sub("", name)
        if self.types.get(short) == "histogram":
            return short
        return name if name in self.types else None

    def has(self, name):
        return any(sample[0] == name for sample in self.samples)

    def value(self, name, **labels):
        return sum(
            value
            for found, with_labels, value in self.samples
            if found == name and labels.items() <= with_labels.items()
        )


def scrape(http):
    """The metrics of a bridge, by an httpx client."""
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Metrics(answer.text)
