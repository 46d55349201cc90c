import subprocess
import sys

import pytest

from memloc.errors import InputError
from memloc.provenance import ROOT
from memloc.report.timing import Row, table

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


@pytest.fixture
def record(tmp_path):
    """Writes the benchmark file of a job, with the seconds of each repeat."""

    def write(path, *times):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{time}\t0:00:01\tNA\tNA\tNA\tNA\tNA\tNA\t50.0\t99.0\n" for time in times]
        file.write_text(HEAD + "".join(lines))
        return file

    return write


def test_jobs_and_seconds_of_each_rule_longest_first(tmp_path, record):
    record("measure/simclr/f/seed0.tsv", 2.5)
    record("train_encoder/simclr/f/seed0.tsv", 4)
    record("train_encoder/simclr/g/seed0.tsv", 12.5)
    record("report.tsv", 100)  # Of no rule: not in a folder of one.
    record("build_report/report.tsv", 1)
    assert table(tmp_path) == [
        Row("train_encoder", 2, 16.5, 16.5 / 20),
        Row("measure", 1, 2.5, 2.5 / 20),
        Row("build_report", 1, 1.0, 1.0 / 20),
    ]


def test_shares_add_up_to_one_and_equal_times_go_by_name(tmp_path, record):
    for rule in ("c", "a", "b"):
        record(f"{rule}/job.tsv", 0.1)
    rows = table(tmp_path)
    assert [row.rule for row in rows] == ["a", "b", "c"]
    assert sum(row.share for row in rows) == pytest.approx(1)


def test_repeats_of_a_job_count_as_one_job_with_all_their_time(tmp_path, record):
    record("measure/job.tsv", 1, 2, 4)
    assert table(tmp_path) == [Row("measure", 1, 7.0, 1.0)]


def test_jobs_too_short_for_the_clock_have_no_share(tmp_path, record):
    record("make_splits/job.tsv", 0)
    assert table(tmp_path) == [Row("make_splits", 1, 0.0, 0.0)]


def test_nothing_recorded_gives_no_rows(tmp_path):
    assert table(tmp_path) == table(tmp_path / "absent") == []


def test_other_files_are_left_alone(tmp_path, record):
    record("measure/job.tsv", 1)
    (tmp_path / "bench.csv").write_text("name,ratio\n")
    (tmp_path / "measure" / "job.csv").write_text("not a benchmark")
    assert [row.jobs for row in table(tmp_path)] == [1]


@pytest.mark.parametrize(
    "text", ["", HEAD, "seconds\n1\n", HEAD + "NA\n", HEAD + "nan\n", HEAD + "-1\n", "h:m:s\ts\n0:00:01\n", "\x00\n"]
)
def test_a_damaged_file_is_named(tmp_path, record, text):
    path = record("measure/job.tsv", 1)
    path.write_text(text)
    with pytest.raises(InputError, match=r"job\.tsv: no benchmark file of Snakemake; delete it") as caught:
        table(tmp_path)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_named_as_well(tmp_path, record):
    record("measure/job.tsv", 1).write_bytes(b"s\n\xff\xfe\n")
    with pytest.raises(InputError, match="no benchmark file"):
        table(tmp_path)


def test_it_needs_nothing_but_the_standard_library():
    code = "import sys, memloc.report.timing; assert not {'numpy', 'pandas', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
