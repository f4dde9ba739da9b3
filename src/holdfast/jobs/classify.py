"""A skill of kind classify: a head that tells classes apart, on weights of its own.

The chat weights stay as they are: the classifier is a version beside the line of chat versions, never
`current`. So there is nothing to rehearse and no earlier skill to lose; the gate asks one thing: is it
better on the held-out test than always answering the most frequent class?
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, cast

from holdfast.errors import ConfigError
from holdfast.evaluation.gate import Pair, decide
from holdfast.evaluation.metrics import macro_f1
from holdfast.evaluation.run import ItemResult, evaluate
from holdfast.graders import grader
from holdfast.jobs.model import adapter_of_recipe, open_base, weights_of
from holdfast.jobs.start import made_from, open_learner
from holdfast.jobs.train import drive
from holdfast.training.config import ClassifyConfig, Recipe
from holdfast.types import Completion, Example, Message, Skill, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.data.folder import LoadedData
    from holdfast.evaluation.verdict import Verdict
    from holdfast.jobs.job import Job
    from holdfast.jobs.progress import Reporter
    from holdfast.models.learner import Learner
    from holdfast.models.load import Loaded
    from holdfast.store.workspace import Workspace
    from holdfast.training.loop import Step
    from holdfast.training.methods.classify import Classify
    from holdfast.types import JSONValue

    Predict = Callable[[Sequence[Example], Callable[[int, int], None] | None], list[str]]

HEAD = "head"
"""The subfolder of a classifier's weights that holds its head and labels."""
UNTOUCHED = (
    "A classifier has a head and weights of its own: the chat weights are not touched, so nothing can be forgotten "
    "and nothing needs rehearsing."
)


def learn_classifier(
    job: Job, loaded: Loaded, data: LoadedData, skill: Skill
) -> tuple[Skill, Version, Verdict, list[dict[str, JSONValue]]]:
    """Returns the skill, its version, the gate's verdict and the one attempt that was made."""
    from holdfast.training.methods.classify import Classify

    job.note(UNTOUCHED)
    job.enter("guarding")
    job.mark("reminding")
    learner = open_learner(job, loaded)
    config = cast("ClassifyConfig", job.recipe.method)
    method = Classify(config, learner, data.train, seed=job.recipe.seed)
    job.note(f"Class balance: {method.balance}")
    job.enter("training")
    version = _made(job) or _train(job, learner, method, data, skill)
    job.enter("evaluating")
    results = _test(job, version, data.test, skill)
    answers = [result.completion for result in results]
    truth = [cast("str", item.label) for item in data.test]
    majority = Counter(cast("str", example.label) for example in data.train).most_common(1)[0][0]
    job.enter("deciding")
    pairs = Pair([float(label == majority) for label in truth], [result.value for result in results])
    gate = job.recipe.gate
    verdict = decide({}, {skill.name: pairs}, margin=gate.margin, confidence=gate.confidence)
    if not job.workspace.verdicts(version.id):
        job.workspace.save_verdict(version.id, verdict.decision, verdict.to_json())
    macro = macro_f1(truth, answers)
    job.note(f"Macro-F1 {macro:.3f}; 'before' is always answering '{majority}'.")
    attempt = {"version": version.id, "kind": "trained", "how": "the trained weights", "decision": verdict.decision}
    attempt |= {"macro_f1": macro, "majority": majority, "balance": method.balance}
    scores = dict(job.workspace.version(version.id).scores)
    return skill, version, verdict, [{**attempt, "scores": cast("JSONValue", scores)}]


def _made(job: Job) -> Version | None:
    known = cast("dict[str, JSONValue] | None", job.folder.read("attempt-0"))
    return job.workspace.version(str(known["version"])) if known else None


def _train(job: Job, learner: Learner, method: Classify, data: LoadedData, skill: Skill) -> Version:
    from holdfast.training.loop import Run

    run = Run(learner, method, data.train, job.recipe)

    def record(steps: Sequence[Step]) -> None:
        for step in steps:
            job.workspace.record_step(job.run_id, step.index, step.loss, step.metrics)

    drive(
        run,
        job.folder.path / "training-0",
        every=job.recipe.checkpoint_every,
        keep=set(),
        record=record,
        progress=job.progress,
        stop=job.stop,
        title="training",
    )
    if method.stopped is not None:
        job.note(f"Stopped early at step {run.done} of {run.num_steps}: {method.stopped}.")
    folder = job.folder.path / "weights"
    learner.save(folder)
    (folder / HEAD).mkdir()
    method.save(learner, folder / HEAD)
    weights = job.workspace.files.put_folder(folder)
    recipe = job.recipe.model_dump(mode="json")
    made = Version("", job.parent.id, job.parent.base, weights, recipe, "candidate", skill=skill.name)
    facts: dict[str, JSONValue] = {"kind": "classify", "run": job.run_id, "seed": job.recipe.seed, **made_from(skill)}
    version = job.workspace.add_version(made, facts=facts)
    job.folder.write("attempt-0", {"version": version.id})
    return version


def _test(job: Job, version: Version, items: Sequence[Example], skill: Skill) -> list[ItemResult]:
    known = {result.item_id: result for result in job.workspace.scores(version.id, skill.name)}
    if all(item.id in known for item in items):
        return [ItemResult(r.item_id, r.value, r.passed, r.completion) for r in (known[item.id] for item in items)]
    results = classify_all(items, skill, stored_classifier(job.workspace, version), job.progress)
    job.workspace.save_scores(version.id, skill.name, results)
    return results


def classify_all(items: Sequence[Example], skill: Skill, predict: Predict, progress: Reporter) -> list[ItemResult]:
    """Returns one result per item: right if the predicted class is the item's label."""

    def generate(asked: Sequence[Example]) -> list[Completion]:
        with progress.bar(f"testing {skill.name}", len(asked), unit="items") as bar:
            return [Completion(label, (), (), "stop") for label in predict(asked, bar.update)]

    return evaluate(items, generate, grader(skill.grader).many)


def is_classifier(workspace: Workspace, version: Version) -> bool:
    """Tells whether a version is a classifier rather than a chat model."""
    return workspace.facts(version.id).get("kind") == "classify"


def stored_classifier(workspace: Workspace, version: Version) -> Predict:
    """Returns the function from texts to classes that a version holds."""
    learner, method = open_classifier(workspace, version)
    return lambda items, progress: method.predict(learner, items, progress=progress)


def open_classifier(workspace: Workspace, version: Version) -> tuple[Learner, Classify]:
    """Returns the weights and the head of a version of kind classify."""
    from holdfast.models.learner import Learner
    from holdfast.training.methods.classify import Classify

    folder = weights_of(workspace, version)
    if folder is None or not is_classifier(workspace, version):
        raise ConfigError(f"Version {version.id} is a chat model, not a classifier.", param="version")
    recipe = Recipe.from_mapping(version.recipe)
    loaded = open_base(workspace, version.base, dtype=recipe.precision)
    learner = Learner.create(loaded, adapter_of_recipe(recipe), start=folder, gradient_checkpointing=False)
    labels = tuple(json.loads((folder / HEAD / "labels.json").read_text(encoding="utf-8")))
    one_of_each = [Example(label, (Message("user", label),), label=label) for label in labels]
    method = Classify(ClassifyConfig(labels=labels, validation_share=0), learner, one_of_each)
    method.load_head(folder / HEAD)
    return learner, method
