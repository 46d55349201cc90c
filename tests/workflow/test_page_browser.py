"""The page of a scored encoder, and the report, in a real browser, at the width of a phone and of a desktop."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from memloc.analysis.claims import COLUMNS, JOINT
from memloc.experiments import Experiment
from memloc.report import telling
from memloc.report.page import Figure
from memloc.report.page import render as report
from memloc.scoring import figure
from memloc.scoring.page import render
from tests.builders.scored import scored, thumbnail

EVIL = "\"'><script>window.hit = 1</script><img src=x onerror='parent.hit = 1'><a href='http://127.0.0.1:9/x.png'>"
POLICY = re.compile(r"<meta http-equiv=[^>]*>")
FLAGS = (
    "--headless",
    "--no-sandbox",  # it can't be had by root
    "--disable-gpu",
    "--hide-scrollbars",  # as on a phone, where they take no width
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # the browser calls home, page or no page
    "--no-proxy-server",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-pings",
    "--allow-file-access-from-files",
    "--virtual-time-budget=20000",
    "--dump-dom",
)

# A page around the page: it may look inside, as both are files, and no policy of the inner one binds it.
WRAPPER = """<!doctype html><meta charset="utf-8"><title>looking</title>
<iframe src="page.html" style="border: 0; width: %dpx; height: 900px"></iframe><pre id="seen"></pre>
<script>
const frame = document.querySelector("iframe");
async function decoded(source) {
  const image = new Image();
  image.src = source;
  try { await image.decode(); } catch (error) { return 0; }
  return image.naturalWidth;
}
frame.onload = async () => {
  const inside = frame.contentDocument, view = frame.contentWindow, seen = {};
  const widths = () => [inside.documentElement.scrollWidth, inside.body.scrollWidth, view.innerWidth];
  seen.folded = widths();
  for (const details of inside.querySelectorAll("details")) details.open = true;
  seen.unfolded = widths();
  const beyond = element => {
    if (element.closest(".scroll")) return false;
    const box = element.getBoundingClientRect();
    return box.width > 0 && (box.right > view.innerWidth + 1 || box.left < -1);
  };
  seen.beyond = [...inside.body.querySelectorAll("*")].filter(beyond).map(e => e.outerHTML.slice(0, 200));
  const pictures = [...inside.querySelectorAll("[role=img]")];
  seen.pictures = pictures.length;
  const background = picture => view.getComputedStyle(picture).backgroundImage;
  const sources = pictures.map(p => (background(p).match(/^url\\("(data:.*)"\\)$/) || [])[1]);
  seen.without = sources.filter(s => !s).length;
  seen.distinct = new Set(sources).size;
  seen.decoded = (await Promise.all([...new Set(sources)].map(decoded))).filter(width => width > 0).length;
  seen.flat = pictures.filter(p => p.getBoundingClientRect().height < 20).length;
  seen.figures = [...inside.querySelectorAll("img")].map(i => i.naturalWidth);
  seen.scripts = inside.querySelectorAll("script, [onerror], a[href^=http]").length;
  seen.hit = [view.hit || 0, window.hit || 0];
  const named = box => box.tabIndex === 0 && box.getAttribute("aria-label");
  const search = inside.querySelector("input[data-filter]");
  if (search) {
    const body = inside.querySelector("table[id] > tbody");
    const rows = () => [...body.rows].filter(row => !row.hidden).map(row => row.id);
    const last = () => rows().at(-1);
    search.value = "NEEDLE supported";
    search.dispatchEvent(new view.Event("input"));
    seen.left = rows();
    view.location.hash = seen.hidden = "claim-0";
    await new Promise(done => setTimeout(done, 100));
    seen.shown = rows().length;
    const head = inside.querySelectorAll("th[scope=col] button")[3];
    seen.sorted = [0, 1, 2].map(() => { head.click(); return last(); });
  }
  seen.scrollable = [...inside.querySelectorAll(".scroll")].every(named);
  document.getElementById("seen").textContent = JSON.stringify(seen);
};
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no chromium, chromium-browser or google-chrome on PATH: the page can't be looked at")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with everything on it: hostile and long names, two encoders, labels, nulls, skipped files."""
    folder = tmp_path_factory.mktemp("page")
    made = scored(
        ["1", "layer3.5.conv2", "x" * 300, EVIL],
        units=16,
        name=lambda i: f"{EVIL}{i}/{'long' * 60}",
        classes=(EVIL, "w" * 300),
        skipped=30,
    )
    made.meta |= {"images": "/" + "folder" * 60, "settings": {EVIL: EVIL, "key" * 80: "value" * 80}}
    figure.summary(made.layers, made.units, path_png=folder / "figure.png")
    return render(
        units=made.units,
        tops=made.tops,
        layers=made.layers,
        points=made.points,
        meta=made.meta,
        figure_png=(folder / "figure.png").read_bytes(),
        thumbnail=thumbnail,
    )


def visit(browser: str, folder: Path, name: str) -> tuple[str, list[str]]:
    """The document after its scripts ran, and every address that a page asked a network for."""
    log = folder / "net.json"
    done = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", (folder / name).as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, requests(json.loads(log.read_text()))


def requests(log: dict[str, Any]) -> list[str]:
    """Addresses that a page asked a network for; what the browser asks for by itself has no origin."""
    source = log["constants"]["logSourceType"]["URL_REQUEST"]
    asked = [event.get("params", {}) for event in log["events"] if event["source"]["type"] == source]
    return [
        params["url"]
        for params in asked
        if params.get("initiator", "not an origin") != "not an origin"
        and params["url"].startswith(("http", "ws", "ftp"))
    ]


def look(browser: str, folder: Path, page: str, width: int) -> tuple[dict[str, Any], list[str]]:
    """What the wrapper saw of a page that is ``width`` pixels wide."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    (folder / "wrapper.html").write_text(WRAPPER % width, encoding="utf-8")
    for _ in range(3):  # On a busy machine the browser's own clock may run out first.
        document, asked = visit(browser, folder, "wrapper.html")
        found = re.search(r'<pre id="seen">(.+?)</pre>', document, re.DOTALL)
        if found:
            break
    assert found, document[-2000:]
    return json.loads(html.unescape(found[1])), asked


@pytest.mark.parametrize("width", [320, 390, 768, 1600])
def test_page_fits_and_shows_its_images(browser: str, page: str, tmp_path: Path, width: int) -> None:
    seen, asked = look(browser, tmp_path, page, width)
    assert [max(seen[state][:2]) for state in ("folded", "unfolded")] == [width, width], seen["beyond"]
    assert seen["folded"][2] == width and not seen["beyond"]
    assert seen["pictures"] > 100 and not seen["without"] and not seen["flat"]
    assert seen["decoded"] == seen["distinct"] > 20
    assert seen["figures"] == [1575]
    assert seen["scrollable"]
    # The page's own script, which sorts its table, and no other.
    assert seen["scripts"] == 1 and seen["hit"] == [0, 0]
    assert asked == []


@pytest.mark.parametrize("width", [390, 1600])
def test_the_report_fits_filters_and_sorts(browser: str, tmp_path: Path, width: int) -> None:
    picture = tmp_path / "x.png"
    Image.new("RGB", (1200, 800)).save(picture)
    effects = {"a": 0.2, "needle": 0.9, "c": -0.5}
    rows = [_claim(name, effect) for name, effect in effects.items()]
    entry = Experiment(order=0, theme="layers", title=EVIL, paper=EVIL, asks=EVIL, inputs={}, smallest={})
    figure = Figure("one", entry, EVIL, str(picture), {"CSV": "../figures/one.csv"})
    config = {"encoders": {}, "datasets": {}, "experiments": {}}
    seen, asked = look(browser, tmp_path, report([figure], pd.DataFrame(rows), [], config), width)
    assert [max(seen[state][:2]) for state in ("folded", "unfolded")] == [width, width], seen["beyond"]
    assert not seen["beyond"] and seen["scrollable"] and seen["figures"] == [1200]
    assert seen["scripts"] == 1 and seen["hit"] == [0, 0] and asked == []
    assert seen["left"] == ["claim-1"] and seen["shown"] == 3
    # From the highest effect, from the lowest, and as it was.
    assert seen["sorted"] == ["claim-2", "claim-1", "claim-2"]


def _claim(name: str, effect: float) -> dict[str, Any]:
    row = dict.fromkeys([*COLUMNS, *JOINT], EVIL) | dict.fromkeys(telling.NUMBERS, 0.1)
    row |= {"claim": name, "experiment": "one", "subject": "long" * 60, "statement": f"{name}: {EVIL}"}
    return row | {"effect": effect, "low": effect - 0.1, "high": effect + 0.1, "verdict": "supported", "primary": False}


def test_names_are_harmless_even_without_the_policy(browser: str, page: str, tmp_path: Path) -> None:
    seen, asked = look(browser, tmp_path, POLICY.sub("", page), 1280)
    assert seen["scripts"] == 1 and seen["hit"] == [0, 0] and asked == []


def test_a_page_that_is_too_wide_or_runs_a_script_would_be_seen(browser: str, page: str, tmp_path: Path) -> None:
    bad = POLICY.sub("", page).replace(
        "<main", '<div style="width:3000px">wide</div><script>window.hit = 1</script><main', 1
    )
    seen, _ = look(browser, tmp_path, bad, 390)
    assert seen["folded"][0] >= 3000 and len(seen["beyond"]) == 1
    assert seen["scripts"] == 2 and seen["hit"] == [1, 0]


@pytest.mark.parametrize("policy", [False, True], ids=["without the policy", "with the policy"])
def test_a_request_would_be_seen_and_the_policy_stops_it(browser: str, page: str, tmp_path: Path, policy: bool) -> None:
    asked_for = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked_for.append(self.path)
            self.send_error(404)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}/x.png"
            text = page if policy else POLICY.sub("", page)
            (tmp_path / "page.html").write_text(text.replace("<main", f'<img src="{address}" alt=""><main', 1))
            _, asked = visit(browser, tmp_path, "page.html")
        finally:
            server.shutdown()
            thread.join()
    assert asked_for == ([] if policy else ["/x.png"])
    assert (address in asked) != policy
