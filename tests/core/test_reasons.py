"""Every reason is documented for the operator and asked for by `aldaba explain`, and no document names another."""

import re
from pathlib import Path

import pytest

from aldaba.core.explain import QUESTIONS
from aldaba.errors import Reason
from aldaba.server import DIALECTS

DOCUMENT = Path("docs/reasons.md").read_text()


def test_the_document_has_every_reason_once_and_no_other() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE)

    assert sorted(reason.value for reason in Reason) == sorted(documented)


def test_explain_has_a_question_for_every_reason() -> None:
    assert set(Reason) == set(QUESTIONS)


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_has_words_for_every_reason_on_every_route(name: str) -> None:
    dialect = DIALECTS[name]
    for words in (dialect.words, *(route.words for route in dialect.routes)):
        assert set(Reason) == set(words)
