"""The version, as the installed package has it: written once, in pyproject.toml."""

from importlib.metadata import version

__version__ = version("triggers-client")
