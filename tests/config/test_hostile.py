"""Whatever stands in the file and the environment: a configuration or a ConfigError, and never a secret in its text."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aldaba.config import ConfigError, load, show
from aldaba.config.load import _Loading
from aldaba.config.settings import DIALECTS, Service, sections, settings_of
from aldaba.config.sources import found_in_file, setting_names, variable

texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "",
            "1",
            "10s",
            "32KiB",
            "127.0.0.1:8080",
            "[::1]:1",
            "/a",
            "a.example",
            "10.0.0.0/8",
            "1.3",
            "redis://h",
            "all",
        ]
    ),
)
values = st.recursive(
    st.one_of(texts, st.booleans(), st.integers(), st.floats(), st.dates(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
tables = {name: tuple(settings_of(kind)) for name, kind in sections().items()} | {
    "services.fleet": tuple(settings_of(Service))
}
documents = st.dictionaries(
    st.one_of(st.sampled_from([*sections(), "services"]), texts),
    st.one_of(
        values,
        st.dictionaries(
            st.one_of(st.sampled_from(sorted({name for names in tables.values() for name in names})), texts),
            values,
            max_size=5,
        ),
    ),
    max_size=5,
)


@given(documents)
def test_any_tables_give_settings_or_mistakes(document: dict[str, Any]) -> None:
    problems: list[Any] = []
    found = found_in_file(document, "aldaba.toml", problems)
    loading = _Loading(None, {}, DIALECTS)
    loading._found = found
    loading.config()

    for problem in [*problems, *loading.problems]:
        assert str(problem).isprintable()


def outcome(file: Path | None, environ: dict[str, str]) -> str:
    """Return what an operator sees of a configuration, or of its mistakes."""
    try:
        return str(show(load(file, environ)))
    except ConfigError as error:
        return str(error)


@given(st.text(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_file_or_a_mistake(tmp_path: Path, text: str) -> None:
    file = tmp_path / "aldaba.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))

    assert outcome(file, {})


names = [variable(setting) for setting in setting_names(DIALECTS)]
words = st.text(st.characters(exclude_characters="\x00", exclude_categories=()), max_size=60)


@given(
    st.dictionaries(st.sampled_from([*names, *(f"{name}_FILE" for name in names)]), st.one_of(texts, words), max_size=6)
)
def test_any_environment_gives_settings_or_mistakes(environ: dict[str, str]) -> None:
    assert outcome(None, environ)


@pytest.mark.parametrize("scheme", ["postgresql", "redis"])
@given(before=st.text(max_size=10), after=st.text(max_size=20))
def test_no_mistake_repeats_a_password(scheme: str, before: str, after: str) -> None:
    secret = "Xq7-zmW9-pLk2"
    name = "ALDABA_DATABASE_URL" if scheme == "postgresql" else "ALDABA_LIMITS_STORAGE"

    assert secret not in outcome(None, {name: f"{scheme}://u:{before}{secret}{after}@h/1"})
