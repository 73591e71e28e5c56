"""`aldaba config show` prints a configuration that says the same."""

import json
import tomllib

from aldaba import config
from tests.cli.office import Office

SETTINGS = """
[server]
public = "127.0.0.1:8081"

[proxy]
trusted = ["192.0.2.0/24", "2001:db8::/48"]

[log]
format = "console"

[keys]
master_key_file = "quoted \\"name\\".key"

[services.fleet]
host = "api.example.com"

[services.use-case-17]
dialect = "mobility"
expose_docs = false
"""


def test_what_is_shown_is_read_as_the_same_settings(office: Office) -> None:
    (office.folder / "first.toml").write_text(SETTINGS)

    shown = office.do("config", "show", "--config", "first.toml")

    (office.folder / "second.toml").write_text(shown)
    first, second = (config.load(office.folder / f"{name}.toml", {}) for name in ("first", "second"))
    assert first == second


def test_json_and_toml_show_the_same(office: Office) -> None:
    assert json.loads(office.do("config", "show", "--output", "json")) == tomllib.loads(office.do("config", "show"))


def test_passwords_are_masked_in_both_forms(office: Office) -> None:
    office = Office(
        office.folder,
        {
            "ALDABA_DATABASE_URL": "postgresql://aldaba:correct-horse@db.internal/aldaba",
            "ALDABA_LIMITS_STORAGE": "redis://:battery-staple@127.0.0.1/0",
        },
    )

    shown = office.do("config", "show") + office.do("config", "show", "--output", "json")

    assert "aldaba:***@db.internal" in shown
    assert "correct-horse" not in shown
    assert "battery-staple" not in shown


def test_init_works_on_postgresql(postgresql: str, office: Office) -> None:
    (office.folder / "master.key").unlink()
    office = Office(office.folder, {"ALDABA_DATABASE_URL": postgresql})

    assert "made the database postgresql" in office.do("init")
    assert "everything is there already" in office.do("init")
    assert "[]\n" == office.do("partner", "list", "--output", "json")
