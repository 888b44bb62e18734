"""The tour as one self-contained page: no script, no font, nothing fetched."""

from __future__ import annotations

from html import escape
from statistics import median

from foretext.demo.charts import Dots, Line, dot_chart, line_chart
from foretext.demo.tour import StopResult, TourResult

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5b6575; --rule: #d9dee6;
  --page: #ffffff; --one: #1f5fbf; --two: #c2571a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa5b5; --rule: #333c4a;
  --page: #14181f; --one: #7fb0ff; --two: #ffa365; } }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 44rem; background: var(--page);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
p.lead, figcaption, .soft { color: var(--soft); } figure { margin: 0 0 1.4rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .6rem; border-bottom: 1px solid var(--rule); text-align: right; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; }
svg { width: 100%; height: auto; }
blockquote { margin: 0 0 .8rem; padding: .1rem 0 .1rem .9rem; border-left: 3px solid var(--rule); }
.tables { overflow-x: auto; }
"""


def page(result: TourResult) -> str:
    """The HTML page."""
    sections = [_transfer(result), _curves(result), _filled(result), _generated(result)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>foretext: the tour</title><style>{_STYLE}</style></head><body>"
        "<h1>Pre-train, transfer, compare</h1>"
        f'<p class="lead">{escape(result.about)}. The whole tour took {result.seconds:.0f} s.</p>'
        f"{''.join(sections)}</body></html>\n"
    )


def _transfer(result: TourResult) -> str:
    models = [m for m in result.models if m.pretrained]
    if not models:
        return ""
    rows = "".join(
        f"<tr><td>{escape(m.name)} <span class=soft>{escape(m.preset)}</span></td>"
        f"<td>{_spread(m.random)}</td><td>{_spread(m.pretrained)}</td><td>{m.gain:+.1f}</td>"
        f"<td>{m.seconds:.0f} s</td><td>{m.transfer_seconds:.0f} s</td></tr>"
        for m in models
    )
    dots = [
        Dots(label=f"{m.name}, {name} weights", values=values, colour=colour)
        for m in models
        for name, values, colour in (
            ("random", m.random, "two"),
            ("pre-trained", m.pretrained, "one"),
        )
    ]
    levels = []
    if result.bag is not None:
        levels = [
            (result.bag.name, median(result.bag.accuracies)),
            ("always the same answer", result.bag.majority),
        ]
    chart = dot_chart(dots, x_label="accuracy on held-out labels, percent", levels=levels)
    return (
        "<h2>Does pre-training pay?</h2>"
        f"<p><b>{'. '.join(escape(line) for line in result.verdict)}.</b></p>"
        "<p>The same model, the same labels, the same settings; only the weights it begins from "
        "differ. Accuracy on held-out labels in percent, median (range) of "
        f"{len(models[0].random)} seeds. {_beside(result)}</p>"
        '<div class="tables"><table><thead><tr><th>Model</th><th>Random weights</th>'
        "<th>Pre-trained</th><th>Gain</th><th>Pre-training</th><th>All fine-tuning</th></tr>"
        "</thead>"
        f"<tbody>{rows}</tbody></table></div>"
        f"<figure>{chart}"
        "<figcaption>A dot is a seed, the line their median.</figcaption></figure>"
    )


def _beside(result: TourResult) -> str:
    """What costs seconds, in a sentence."""
    if result.bag is None:
        return ""
    bag = result.bag
    return (
        f"On the same labels a {escape(bag.name)} with logistic regression, which takes seconds, "
        f"reaches {_spread(bag.accuracies)}, and always the same answer {bag.majority:.1f}."
    )


def _spread(values: list[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f}–{max(values):.1f})"


def _curves(result: TourResult) -> str:
    return "<h2>Learning from text alone</h2>" + "".join(_curve(m) for m in result.models)


def _curve(model: StopResult) -> str:
    lines = [
        Line(label="training", points=model.training, colour="soft"),
        Line(label="held out", points=model.held_out, colour="one", marked=True),
    ]
    alone = None if model.unigram is None else ("token frequencies alone", model.unigram)
    chart = line_chart(lines, x_label="step", y_label="loss, nats a target", level=alone)
    return (
        f"<figure>{chart}<figcaption>{escape(model.name)}: {model.parameters:,} parameters, "
        f"{model.steps:,} steps, {model.tokens:,} tokens.</figcaption></figure>"
    )


def _filled(result: TourResult) -> str:
    rows = "".join(
        f"<tr><td>{escape(text)}</td><td>"
        + ", ".join(f"{escape(token)} {score:.0%}" for token, score in choices)
        + "</td></tr>"
        for text, choices in result.filled
    )
    return f'<h2>BERT fills in</h2><div class="tables"><table><tbody>{rows}</tbody></table></div>'


def _generated(result: TourResult) -> str:
    quotes = "".join(
        f"<blockquote><b>{escape(prompt)}</b>{escape(text.removeprefix(prompt))}</blockquote>"
        for prompt, text in result.generated
    )
    return f"<h2>GPT goes on</h2>{quotes}"
