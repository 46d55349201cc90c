import re
from pathlib import Path

import yaml

from tools.document_options import PAGE, renewed

ROOT = Path(__file__).resolve().parents[2]


def test_tables_of_options_are_those_of_the_registries():
    assert renewed(PAGE.read_text()) == PAGE.read_text(), "run python tools/document_options.py"


def test_no_two_keys_of_the_configuration_share_a_mapping():
    """Snakemake merges overlays in place: a YAML alias would change both owners where one is asked for."""
    config, seen = yaml.safe_load((ROOT / "config.yaml").read_text()), set()

    def walk(value):
        if isinstance(value, dict):
            assert id(value) not in seen
            seen.add(id(value))
            for item in value.values():
                walk(item)

    walk(config)
    assert len(seen) > 10


def test_what_pages_say_is_tested_is_there():
    for page in ("docs/faults.md", "docs/security.md"):
        named = re.findall(r"`(?:tests/(?:unit|workflow)/)?(test_\w+\.py)`", (ROOT / page).read_text())
        assert named
        assert {*named} <= {path.name for path in (ROOT / "tests").rglob("test_*.py")}
