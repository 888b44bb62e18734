"""What is shown: numbers, plain lines, JSON lines and the terminal's bars."""

from __future__ import annotations

import io
import json
import math
import os
import re

import pytest
from rich.console import Console

from foretext.cli.counted import skip_note
from foretext.cli.output import as_json
from foretext.cli.reporters import PlainReporter, say
from foretext.cli.terminal import TerminalReporter
from foretext.cli.units import columns, duration, metrics, short, size
from foretext.text.errors import CorpusStats, Faults, OnError
from foretext.training.progress import StepReport

REPORT = StepReport(
    step=120,
    steps=1000,
    loss=6.25,
    terms={"mlm": 5.5, "nsp": 0.75},
    learning_rate=1e-4,
    gradient_norm=1.25,
    tokens=12_345,
    tokens_per_second=12_345.6,
    utilisation=0.42,
    seconds_left=83.0,
)


def test_numbers_have_three_digits_and_a_unit() -> None:
    """Metric prefixes, as on a data sheet."""
    values = (0, 7, 999.4, 999.6, 1234, 12_345, 123_456, 1.5e15)
    assert [short(value) for value in values] == [
        *("0", "7", "999", "1.00 k", "1.23 k", "12.3 k", "123 k", "1.50 P")
    ]
    assert (size(12), size(1.5e6)) == ("12 B", "1.50 MB")


def test_durations_read_like_a_clock() -> None:
    """Seconds below ten, then minutes and hours, then days."""
    values = (0.84, 9.96, 83, 3599.6, 7_800, 1_000_000)
    assert [duration(value) for value in values] == [
        *("0.8 s", "0:10", "1:23", "1:00:00", "2:10:00", "11 days 13 h")
    ]


def test_columns_align_numbers_right_and_words_left() -> None:
    """Nothing trails at the end of a line."""
    shown = columns([("a", "1,000", "x"), ("bcd", "7", "")], header=("name", "n", "s"))
    assert shown.splitlines() == ["name      n  s", "a     1,000  x", "bcd       7"]


def test_what_was_skipped_and_what_was_not_read_are_told_apart() -> None:
    """Of the rest of a broken file nobody knows how many examples it holds."""
    stats = CorpusStats()
    assert not skip_note(stats, "examples were skipped")
    faults = Faults(OnError.SKIP, stats)
    for _ in range(2):  # readings
        faults.cut("broken JSON", "q.json:3:1", "broken JSON (x)")
    rest = "q.json:3:1: broken JSON (x); what comes after it was not read"
    assert skip_note(stats, "examples were skipped", readings=2) == rest
    for _ in range(2):
        faults.skip("answers", "q.json: article 1", "an answer has no text")
    found = skip_note(stats, "examples were skipped", readings=2)
    assert found == f"1 examples were skipped; {rest}"


def test_json_lines_hold_no_nan() -> None:
    """JSON has no NaN: other readers would refuse the line. Hangul stays legible."""
    line = as_json({"loss": math.nan, "inner": [math.inf, 1.5], "text": "한국어"})
    assert line == '{"loss": null, "inner": [null, 1.5], "text": "한국어"}'
    assert json.loads(line)["inner"] == [None, 1.5]


def test_a_plain_step_says_all_that_the_issue_asks(capsys: pytest.CaptureFixture[str]) -> None:
    """Issue 2: step, loss, learning rate, gradient norm, tokens per second, utilisation, ETA."""
    PlainReporter().step(REPORT)
    assert capsys.readouterr().err == (
        "step 120/1,000  loss 6.250 (mlm 5.500, nsp 0.750)  lr 1.00e-04  grad 1.25  "
        "42% of peak  12.3 k tok/s, 1:23 left\n"
    )


def test_a_plain_stage_speaks_every_ten_seconds_and_at_its_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log file gets a line now and then, with the rate and what is left."""
    now = 0.0
    monkeypatch.setattr("foretext.cli.reporters.time.monotonic", lambda: now)
    reporter = PlainReporter()
    for now in (0.0, 4.0, 10.0, 12.0, 20.0):
        reporter.stage("prepare", int(now * 1e6), 20_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "prepare: 10.0 MB of 20.0 MB, 1.00 MB/s, 0:10 left",
        "prepare: 20.0 MB, done in 0:20",
    ]


def test_rates_are_of_what_was_seen_and_bars_end_at_100(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done before the first news took no time, and a moment makes no rate."""
    now = 0.0
    monkeypatch.setattr("foretext.cli.reporters.time.monotonic", lambda: now)
    reporter = PlainReporter()
    now = 3.0
    reporter.stage("prepare", 18_000_000, 18_000_000)  # its only news: not 18 GB/s
    for now in (5.0, 25.0, 35.1):
        reporter.stage("check", int(5e6 + now * 1e6), 40_000_000)  # the file has grown meanwhile
    assert capsys.readouterr().err.splitlines() == [
        "prepare: 18.0 MB, done in 3.0 s",
        "check: 30.0 MB of 40.0 MB, 1.00 MB/s, 0:10 left",
        "check: 40.0 MB, done in 0:32",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_terminal_shows_a_bar_a_stage_and_a_line_of_numbers(width: int) -> None:
    """Bars never break over a line, whatever the width; messages stay above them, unread as markup.

    At 80 columns all numbers of a step can be seen.
    """
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, color_system=None)
    with TerminalReporter(console) as reporter:
        reporter.stage("prepare", 5_000_000, 20_000_000)
        reporter.stage("prepare", 20_000_000, 20_000_000)
        reporter.message("[bold]path[/bold]")
        reporter.step(REPORT)
        reporter.evaluated(120, {"loss": 5.0})
    lines = left_on_screen(screen.getvalue())
    assert max(map(len, lines)) <= width
    assert lines[:2] == ["[bold]path[/bold]", "held-out at step 120: loss 5"]
    prepared, training, numbers = lines[2:]
    assert prepared.startswith("prepare ") and " 100% 20.0 MB, done in " in prepared
    assert training.startswith("training ") and training.endswith(
        " 12% 120/1,000, 12.3 k tok/s, 1:23 left"
    )
    assert numbers.startswith("  loss 6.250 (mlm 5.500, nsp 0.750)  lr 1.00e-04")
    assert numbers.endswith("  grad 1.25  42% of peak") == (width >= 80)


def left_on_screen(written: str) -> list[str]:
    """The lines that a terminal shows in the end: line feeds, cursor up and clear line."""
    lines, row = [""], 0
    for code, count, letter, char in re.findall(
        r"(\x1b\[\??(\d*)[;\d]*([A-Za-z]))|([^\x1b])", written, re.DOTALL
    ):
        if letter == "A":
            row -= int(count or 1)
        elif letter == "K" or char == "\r":
            lines[row] = ""
        elif char == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif not code:
            lines[row] += char
    return [line.rstrip() for line in lines if line.strip()]


def test_metrics_are_short() -> None:
    """Four digits are enough to compare runs."""
    assert metrics({"loss": 5.43210, "accuracy": 0.5}) == "loss 5.432, accuracy 0.5"


def test_a_run_goes_on_when_nobody_reads_its_news(capfd: pytest.CaptureFixture[str]) -> None:
    """`foretext pretrain ... 2>&1 | tee log` and Ctrl-C: tee is gone before the run has saved."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        say("lost", stream)
        say("nowhere", stream)
    assert capfd.readouterr() == ("", "")
