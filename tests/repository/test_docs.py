import pkgutil
import re
from pathlib import Path

import pytest
import yaml

from tools.build_docs import API
from tools.renew_pages import PAGES, renewed

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_pages_say_of_the_registries_is_true(page):
    assert renewed(page) == page.read_text(), "run python tools/renew_pages.py"


def test_the_site_has_every_page_once_and_the_reference_names_what_is_there():
    paths = re.findall(r'"([\w/.-]+\.md)"', (ROOT / "zensical.toml").read_text())
    assert len(paths) == len(set(paths))
    mine = {str(path.relative_to(ROOT)) for top in ("docs", "docs/method") for path in ROOT.glob(f"{top}/*.md")}
    assert mine <= set(paths)
    assert all((ROOT / path).exists() for path in paths if path != "api.md")
    for name in [name for names in API.values() for name in names]:
        assert pkgutil.resolve_name(name).__doc__, name


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
        named = re.findall(r"`(tests/[\w/]+\.py)`", (ROOT / page).read_text())
        assert named and all((ROOT / path).exists() for path in named)
        assert not re.findall(r"`test_\w+\.py`", (ROOT / page).read_text()), "name tests by their paths"


def test_what_the_documented_profile_asks_for_fits_the_partitions_beside_it():
    partitions = yaml.safe_load((ROOT / "profiles/slurm/partitions.yaml").read_text())["partitions"].values()
    text = (ROOT / "profiles/README.md").read_text()
    settings = [
        yaml.safe_load(block).get("set-resources", {}) for block in re.findall(r"```yaml\n(.*?)```", text, re.S)
    ]
    asked = [(rule, limits) for rules in settings for rule, limits in rules.items()]
    assert len(asked) >= 2
    for rule, limits in asked:
        for attempt in (1, 2, 3):
            most = {key: eval(value, {"min": min, "attempt": attempt}) for key, value in limits.items()}
            fits = [all(most[key] <= partition[f"max_{key}"] for key in most) for partition in partitions]
            assert any(fits), (rule, attempt, most)
