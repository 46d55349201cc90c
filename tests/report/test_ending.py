"""The last lines of a run: where to look, or which log says why and what to type."""

import sys

from memloc.report.ending import after_failure, after_success, line

CLAIMS = """claim,experiment,subject,statement,effect,low,high,level,seeds,primary,holm,verdict,paper_effect,paper_scale
losses.gap,losses,simclr,Loss is lower: loss,0.143,0.135,0.151,0.95,10,True,0.001,supported,,
pairs.last,pairs,other,Last: LayerMem,0.5,0.4,0.6,0.95,10,False,,supported,,
pairs.last,pairs,simclr,Last: LayerMem,0.001,0,0.002,0.95,10,True,0.3,negligible,,
"""

LOG = """Error in rule measure:
    message: None
    jobid: 0
    input: results/a b, results/c
    output: results/measures/simclr/f/seed0.npz
    log: {log} (check log file(s) for error details)
Error in rule measure:
    jobid: 1
    log: {log} (check log file(s) for error details)
Error in rule draw_figure:
    output: x.png
    log: gone.log (check log file(s) for error details)
"""


def test_a_run_ends_with_its_page_and_headlines(tmp_path):
    page, claims = tmp_path / "index.html", tmp_path / "claims.csv"
    claims.write_text(CLAIMS)
    assert list(after_success(page, claims, since=0)) == []
    page.write_text("")
    assert list(after_success(page, claims, since=page.stat().st_mtime + 1)) == []
    told = list(after_success(page, claims, since=page.stat().st_mtime))
    assert told[0].startswith(f"{page} ") and "2 supported, 1 negligible" in told[0]
    assert "Of 2 primary claims, named before the run, 1 supported, 1 negligible" in told[0]
    assert [text.split()[0] for text in told[1:]] == ["negligible", "supported"]
    assert told[1].endswith("memorizes next to nothing. 0.001 (0 to 0.002)")
    claims.write_text("no,claims\n1,2\n")
    (said,) = after_success(page, claims, since=0)
    assert said.startswith(f"{claims}: ")


def test_a_failed_run_ends_with_the_logs_and_the_line_to_type(tmp_path):
    log, own = tmp_path / "job.log", tmp_path / "snakemake.log"
    log.write_text("2026 INFO begun\n2026 ERROR x.npz: is damaged\nTraceback\n  ...\nValueError: x\n")
    own.write_text(LOG.format(log=log))
    told = list(after_failure([own], ["/bin/snakemake", "--cores", "2", "--configfile", "my file.yaml"]))
    assert told == [
        f"measure failed. Its log: {log} (x.npz: is damaged)",
        "draw_figure failed. Its log: gone.log",
        "When that is put right, this goes on where it stopped: /bin/snakemake --cores 2 --configfile 'my file.yaml'",
    ]
    own.write_text("")
    assert next(after_failure([own], ["snakemake"])) == f"a job failed. Snakemake's log: {own}"
    assert line(["/x/snakemake/__main__.py", "-n"]) == f"{sys.executable} -m snakemake -n"
