"""Early news of a run that learns nothing: its loss beside that of token frequencies.

A language model learns frequencies within some dozen steps and may stay there for hours (the
unigram plateau). A tenth of a run tells, while there is time to begin again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from statistics import fmean

from foretext.evaluation.unigram import plateau, unigram_nats
from foretext.objectives.base import Corpus, Predicts, Term
from foretext.recipes.recipe import Recipe
from foretext.training.job import Job
from foretext.training.progress import Reporter, StepReport

FIRST, LAST = 0.1, 0.2  # shares of a run between which it is judged once
_MEAN = 0.05  # share of it over which its loss is averaged
_SHORTEST = 100  # steps
_LEEWAY = 0.2  # nats; a run that has just left it, as at the end of the warm-up, is let be


@dataclass
class PlateauWatch:
    """Passes a run's news on, and adds a warning once where it is on the plateau.

    Args:
        reporter: takes the news.
        terms: of the objective.
        steps: of the run.
        unigram: gives the loss of token frequencies, nats a token.
        remedy: what else to try.
    """

    reporter: Reporter
    terms: tuple[Term, ...]
    steps: int
    unigram: Callable[[], float]
    remedy: str
    _seen: list[StepReport] = field(default_factory=list)
    _judged: bool = False

    def message(self, text: str) -> None:
        self.reporter.message(text)

    def stage(self, name: str, done: int, total: int | None) -> None:
        self.reporter.stage(name, done, total)

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        self.reporter.evaluated(step, metrics)

    def step(self, report: StepReport) -> None:
        self.reporter.step(report)
        if self._judged or self.steps < _SHORTEST:
            return
        recent = report.step - _MEAN * self.steps
        self._seen = [one for one in (*self._seen, report) if one.step > recent]
        if report.step >= FIRST * self.steps:
            if self._falls() and report.step < LAST * self.steps:
                return  # it has not come down to the plateau yet, or is leaving it
            self._judged = True
            if report.step <= LAST * self.steps:
                self._judge(report.step, self._means(self._seen))

    def _falls(self) -> bool:
        """Whether the loss is above the plateau, or has fallen within what is averaged."""
        middle = (len(self._seen) + 1) // 2
        before, after = self._means(self._seen[:middle]), self._means(self._seen[middle - 1 :])
        names = [t.name for t in self.terms if t.predicts is not Predicts.NOTHING]
        return any(
            after[name] > self.unigram() + _LEEWAY or before[name] - after[name] > _LEEWAY / 2
            for name in names
            if name in after
        )

    def _means(self, reports: Sequence[StepReport]) -> dict[str, float]:
        return {name: fmean(one.terms[name] for one in reports) for name in reports[-1].terms}

    def _judge(self, step: int, means: Mapping[str, float]) -> None:
        level = self.unigram() + _LEEWAY
        if plateau({**means, "unigram": level}, self.terms) is None:
            return
        shown = ", ".join(f"{name} {value:.2f}" for name, value in means.items())
        self.reporter.message(
            f"warning: at step {step:,} of {self.steps:,} the loss ({shown} nats) is that of token "
            f"frequencies alone, {self.unigram():.2f}: so far nothing is learned of what stands "
            f"around a token. If that stays, stop by Ctrl-C and {self.remedy}"
        )


def remedy(recipe: Recipe) -> str:
    """What gets a run with such a recipe off the plateau; docs/troubleshooting.md."""
    tried: Iterable[tuple[bool, str]] = (
        (recipe.start == "random", "--set model.start=cooccurrence"),
        (recipe.data.max_length > 64, "--set data.max_length=64, where texts are short"),
        (recipe.training.learning_rate > 1e-3, "--set training.learning_rate=7e-4"),
        (recipe.training.learning_rate < 3e-4, "--set training.learning_rate=7e-4"),
    )
    fitting = [setting for fits, setting in tried if fits]
    return f"begin again with {' or '.join(fitting)}" if fitting else "give it more steps"


def watched(job: Job, recipe: Recipe, corpus: Corpus, held_out: Corpus | None) -> Job:
    """The job, whose reporter will say early where it stays on the plateau.

    Args:
        job: with the steps it will make.
        recipe: of it.
        corpus: what it trains on.
        held_out: text whose frequencies are asked for; None leaves the job as it is.
    """
    if held_out is None:
        return job
    watch = PlateauWatch(
        job.reporter,
        job.objective.terms,
        job.config.steps,
        cache(partial(unigram_nats, corpus, held_out, recipe.model.vocab_size)),
        remedy(recipe),
    )
    return replace(job, reporter=watch)
