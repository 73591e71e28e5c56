"""docs/settings.md says of every setting what the code says, and of no other."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aldaba.config.readers import Reader
from aldaba.config.settings import Section, Service, Setting, sections, settings_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"
ROW = re.compile(r"\| `([a-zA-Z0-9_.-]+\.[a-z_0-9]+)` \| (empty|`.*?`) \| (.*) \|")

rows = {found[1]: (found[2], found[3]) for found in map(ROW.fullmatch, DOCUMENT.read_text().splitlines()) if found}
kinds: dict[str, type[Section]] = {**sections(), "services.NAME": Service}
known: dict[str, tuple[type[Section], Setting]] = {
    f"{section}.{name}": (kind, setting)
    for section, kind in kinds.items()
    for name, setting in settings_of(kind).items()
}


def test_every_setting_is_documented_and_no_other() -> None:
    assert sorted(known) == sorted(rows)


@pytest.mark.parametrize("name", known)
def test_the_document_gives_the_default_and_the_meaning_of_the_code(name: str) -> None:
    kind, setting = known[name]

    assert (_default(kind, name.rpartition(".")[2], setting.reader), setting.about) == rows[name]


def _default(kind: type[Section], name: str, reader: Reader[Any]) -> str:
    (field,) = (field for field in msgspec.structs.fields(kind) if field.name == name)
    if field.default is msgspec.NODEFAULT:
        return "empty"
    shown = reader.show(field.default)
    text = str(shown).lower() if isinstance(shown, bool) else str(shown)
    return f"`{text}`" if text else "empty"


@pytest.mark.parametrize("section", kinds)
def test_the_document_introduces_every_section(section: str) -> None:
    assert f"\n## [{section}]\n" in DOCUMENT.read_text()
