"""Retraining: finalists, among which a winner is chosen, and final runs at full length, which open the test set.

Choosing and quoting are kept apart. Finalists are trained on the training split and compared on the validation split,
and so are the dropouts of the best of them where that is at full length (`search.study.rounds.tells_dropouts`);
the test set is opened by final runs alone, once per trained network, and every opening is a line in the test ledger.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from search.errors import TrainingError
from search.files import StudyFiles
from search.run.candidates import Candidate, with_dropout
from search.run.full_length import FullRun
from search.run.full_length_training import FullLengthTraining
from search.run.interruption import Interruption
from search.run.listener import Observer
from search.run.teachers import Exported, TeacherRequest, require_another, teacher_of
from search.study.networks import alike
from search.study.plan import Plan
from search.study.rounds import NUM_FINALIST_SEEDS, NUM_LEADERS, Finalist, finalist_epochs, standings, tells_dropouts
from search.study.trained import trained_run
from search.study.view import RunView
from search.study.way import DeviceClass, Select
from search.teaching import Lesson, Teaching
from search.trained_network import TrainedNetwork
from search.workers.fleet import Fleet


class Retraining:
    """Retrains candidates of one study.

    Args:
        plan, files, fleet, device, observer, interruption: as of `search.run.full_length_training.FullLengthTraining`.
        select: what finalists are ranked by, clean validation images or corrupted ones.
    """

    def __init__(
        self,
        plan: Plan,
        files: StudyFiles,
        fleet: Callable[[], Fleet],
        device: DeviceClass,
        observer: Observer,
        interruption: Interruption | None = None,
        select: Select = "clean",
    ) -> None:
        self._training = FullLengthTraining(plan, files, fleet, device, observer, interruption or Interruption())
        self._select = select

    @property
    def plan(self) -> Plan:
        return self._training.plan

    def choose(self, candidates: list[Candidate]) -> list[tuple[Candidate, Finalist]]:
        """Train finalists on the training split, and return those that have all seeds by their mean on the validation
        split, as it is or corrupted, best first. The first is the winner.

        Where finalists are trained at full length, the best of them is trained with each other dropout of the study's
        space too (`tells_dropouts`).

        Of equal ones the earlier candidate comes first, and a trial with its own dropout before others. A finalist that
        cannot be trained so long, or with a dropout, is reported and left out: its seeds are fixed, so that it would
        fail again.

        Raises:
            TrainingError: all finalists failed, or a worker was lost twice.
            StorageError: a result cannot be written.
        """
        by_identity = {candidate.identity: candidate for candidate in candidates}
        leaders, seeds = candidates, range(NUM_FINALIST_SEEDS)
        runs: list[RunView] = []
        if len(candidates) > NUM_LEADERS:
            runs = self._finalists(candidates, seeds[:1])
            leaders = [by_identity[finalist.identity] for finalist in _ranked(runs, candidates, 1)[:NUM_LEADERS]]
            seeds = seeds[1:]
            # Those of an earlier round among fewer have all their seeds, and may win by them.
            others = [candidate for candidate in candidates if candidate not in leaders]
            leaders += self._trained_before(others, seeds)
        runs += self._finalists(leaders, seeds)
        ranking = _ranked(runs, candidates)
        if not ranking:
            raise TrainingError("no finalist could be trained; the lines above say why")
        best = by_identity[ranking[0].identity]
        rivals = [with_dropout(best, value) for value in sorted(self.plan.question.space.dropout)]
        rivals = [rival for rival in rivals if rival is not best]
        if not tells_dropouts(best.recipe.epochs, self.plan.question.recipe.epochs):
            rivals = self._trained_before(rivals, range(NUM_FINALIST_SEEDS))
        by_identity |= {rival.identity: rival for rival in rivals}
        runs += self._finalists(rivals, range(NUM_FINALIST_SEEDS))
        return [(by_identity[finalist.identity], finalist) for finalist in _ranked(runs, candidates)]

    def _trained_before(self, candidates: list[Candidate], seeds: range) -> list[Candidate]:
        """Those that have a finalist's run with each of the seeds already."""
        there = self._training.there()
        return [
            candidate
            for candidate in candidates
            if all(self._finalist(candidate, seed).training in there for seed in seeds)
        ]

    def _finalists(self, candidates: list[Candidate], seeds: range) -> list[RunView]:
        return self._training.train([self._finalist(candidate, seed) for candidate in candidates for seed in seeds])

    def _finalist(self, candidate: Candidate, seed: int) -> FullRun:
        """A run of the candidate with the part of its recipe by which finalists are trained."""
        epochs = finalist_epochs(candidate.recipe.epochs, self.plan.question.recipe.epochs)
        shortened = replace(candidate, recipe=candidate.recipe.model_copy(update={"epochs": epochs}))
        run = self._training.asked(shortened, seed, "finalist", may_fail=True)
        return replace(run, way=run.way._replace(select=self._select))

    def audit(self, candidates: list[Candidate], num_seeds: int) -> list[RunView]:
        """Train trials on the training split, as finalists are, to compare their values with those of the search.

        A design that cannot be trained at full length is reported and left out.

        Raises:
            StorageError: a result cannot be written.
        """
        runs = [
            self._training.asked(candidate, seed, "proxy", may_fail=True)
            for candidate in candidates
            for seed in range(num_seeds)
        ]
        return self._training.train(runs)

    def finish(self, candidates: list[Candidate], num_seeds: int, holdout: bool = False) -> list[RunView]:
        """Train on training and validation split together, open the test set once per run, and keep the weights.

        A guess that misses the limit of latency is reported and left out, as in a search.

        With `holdout` the validation split is left out. A recipe that needs it leaves it out anyway, so that a run by
        such a recipe is the same with a holdout and without.

        Raises:
            TrainingError: a run failed, its weights do not hold the parameters they should, or every network missed the
                limit of latency.
            StorageError: a result cannot be written.
        """
        return self._trained(self._finals(candidates, num_seeds, holdout))

    def teach(
        self,
        candidates: list[Candidate],
        num_seeds: int,
        request: TeacherRequest,
        holdout: bool = False,
        ranked: Sequence[Candidate] = (),
    ) -> list[RunView]:
        """Train as `finish` does, but with the teachers that are asked for.

        Those of the study are trained on the training split first, where there are no such weights yet; not where
        nobody is left to be taught.

        Args:
            ranked: the finalists of a round that was made for this, best first.

        Raises:
            InputError: a candidate would be taught by itself alone, or there is no such teacher.
            TrainingError: as of `finish`.
            StorageError: a result cannot be written.
        """
        teachers = request.find(ranked)
        for candidate in candidates:
            require_another(candidate, teachers, request.source)
        own = [self._teacher(teacher) for teacher in teachers if isinstance(teacher, Candidate)]
        exported = [teacher for teacher in teachers if isinstance(teacher, Exported)]
        size = self.plan.task.image_size
        names = (*(teacher_of(run, size) for run in own), *(teacher.teacher for teacher in exported))
        teaching = Teaching(names, request.source, request.temperature, request.share)
        runs = [
            replace(run, teaching=teaching, way=run.way._replace(teaching=teaching.digest))
            for run in self._finals(candidates, num_seeds, holdout)
        ]
        there = self._training.there()
        networks = [teacher.network for teacher in exported]
        if not all(self._training.is_usable(run, there) for run in runs):
            networks += self._taught(own)
        lesson = Lesson(tuple(networks), teaching.temperature, teaching.share, teaching.digest)
        return self._trained([replace(run, lesson=lesson) for run in runs])

    def _trained(self, finals: list[FullRun]) -> list[RunView]:
        """The results of final runs, of which there is one at least."""
        views = self._training.train(finals)
        if not views and self._training.too_slow:
            raise TrainingError("; ".join(f"{name}: {reason}" for name, reason in self._training.too_slow.items()))
        return views

    def _teacher(self, candidate: Candidate) -> FullRun:
        return self._training.asked(candidate, 0, "teacher", not candidate.recipe.needs_validation)

    def _taught(self, teachers: list[FullRun]) -> list[TrainedNetwork]:
        """The networks of teachers of the study. Final runs that left out the validation images teach as well."""
        there = self._training.there()
        finals = [replace(run, purpose="final") for run in teachers]
        chosen = [
            final if self._training.is_usable(final, there) else run
            for run, final in zip(teachers, finals, strict=True)
        ]
        data = self.plan.question.data.name
        return [trained_run(view, data).network for view in self._training.train(chosen)]

    def _finals(self, candidates: list[Candidate], num_seeds: int, holdout: bool) -> list[FullRun]:
        return [
            self._training.asked(candidate, seed, "final", holdout and not candidate.recipe.needs_validation)
            for candidate in candidates
            for seed in range(num_seeds)
        ]


def _ranked(
    runs: Iterable[RunView], candidates: list[Candidate], num_seeds: int = NUM_FINALIST_SEEDS
) -> list[Finalist]:
    """The finalists that have so many seeds, by the one rule that the report follows too."""
    places = {candidate.identity.trial: place for place, candidate in enumerate(candidates)}
    ranks = {trial: place for trial, place in places.items() if trial is not None}
    return [finalist for finalist in standings(alike(runs), ranks) if finalist.network.seeds >= num_seeds]
