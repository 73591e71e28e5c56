"""The benchmarks still run; what they measure is for a quiet machine and `make bench`."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.parts import needs

ROOT = Path(__file__).parent.parent


def test_each_kind_of_load_and_server_is_measured(tmp_path: Path) -> None:
    needs("wrk")
    needs("nginx")
    report = tmp_path / "report.json"

    subprocess.run(
        [sys.executable, "-m", "benchmarks", "--only", "check,connect", "--rounds", "1", "--seconds", "0.5",
         "--output", str(report)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=120,
    )  # fmt: skip

    lines = json.loads(report.read_text())["lines"]
    assert ["bare-token", "check", "nginx", "connect"] == [line["name"] for line in lines]
    assert all(line["measured"]["requests"] > 0 for line in lines)
    assert ["", "bare-token", "", "nginx"] == [line["against"] for line in lines]
