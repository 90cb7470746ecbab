"""YAML as Vault's command line writes it: keys sorted, lists flush with their key, strings quoted with double quotes.

Imported only when YAML is asked for: the library costs twenty milliseconds.
"""

import re

import yaml

from chancery.cli.golang import Json, Number

OLD_BOOLEANS = frozenset({"y", "Y", "n", "N"})
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
"""What plain, quoted and block text alike cannot hold as it is."""
_LARGEST_EXACT = 1 << 63
_LONG = 1 << 30


class _Dumper(yaml.SafeDumper):
    """Writes strings as Go's YAML library chooses to."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  # the signature is the library's
        """Write equal values out each time."""
        return True


def _string(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    tag = "tag:yaml.org,2002:str"
    if UNPRINTABLE.search(text):
        return dumper.represent_scalar(tag, text, style='"')
    if "\n" in text:
        return dumper.represent_scalar(tag, text, style="|")
    resolved = dumper.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]  # stubs lack it
    means_something_else = text in OLD_BOOLEANS or resolved != tag
    return dumper.represent_scalar(tag, text, style='"' if means_something_else else None)


def _number(dumper: _Dumper, number: Number) -> yaml.ScalarNode:
    value = float(number.literal)
    if value.is_integer() and abs(value) < _LARGEST_EXACT:
        return dumper.represent_int(int(value))
    return dumper.represent_scalar("tag:yaml.org,2002:float", repr(value))


def _integer(dumper: _Dumper, value: int) -> yaml.ScalarNode:
    if abs(value) < _LARGEST_EXACT:
        return dumper.represent_int(value)
    return dumper.represent_scalar("tag:yaml.org,2002:float", repr(float(value)))


_Dumper.add_representer(str, _string)
_Dumper.add_representer(int, _integer)
_Dumper.add_representer(Number, _number)


def encode_yaml(value: Json) -> str:
    """Write a value as one YAML document, ending with a line feed."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=_LONG)
    return text.removesuffix("...\n")
