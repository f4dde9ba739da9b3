"""From raw files to a version that `learn` takes: nothing is lost, decisions replay, earlier skills are guarded."""

import fcntl
import json
import random

import pytest

from holdfast.data.doctor.plan import Plan
from holdfast.data.output.version import load, versions
from holdfast.errors import ConfigError, DataError, NothingToLearnError
from holdfast.jobs.material import read_all
from holdfast.jobs.prepare import Request, prepare
from holdfast.jobs.preparing_here import plan_of, recipe_here
from holdfast.jobs.progress import Silent
from holdfast.models.load import load_tokenizer
from holdfast.store.workspace import Workspace
from holdfast.training.config import Recipe
from holdfast.types import Skill, Version

OFFLINE = ["checks.semantic_duplicates.enabled=false"]


def rows(num, seed=0):
    """Questions of made-up words, no two of them alike."""
    draw = random.Random(seed)

    def word():
        return "".join(draw.choice("bdfgklmnprst") + draw.choice("aeiou") for _ in range(3))

    return [
        {"prompt": " ".join(word() for _ in range(9)) + "?", "completion": " ".join(word() for _ in range(6)) + "."}
        for _ in range(num)
    ]


def write(path, items):
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return str(path)


@pytest.fixture
def request_for(tmp_path):
    def make(*sources, **given):
        plan = given.pop("plan", None) or plan_of(None, [*OFFLINE, *given.pop("overrides", [])])
        recipe, template = recipe_here(None, None)
        values = {"skill": "words", "plan": plan, "recipe": recipe, "chat_template": template, "to": tmp_path / "data"}
        return Request(sources=sources, **{**values, **given})

    return make


def test_every_row_is_kept_changed_or_rejected_and_the_version_can_be_loaded(tmp_path, request_for):
    items = rows(60)
    source = write(tmp_path / "words.jsonl", [*items, items[3], {"prompt": "Which?"}, {"nothing": "here"}])
    found = prepare(None, request_for(source), approve=None, progress=Silent())
    counts = found.version.counts
    assert counts.read == 63
    assert counts.unchanged + counts.changed + counts.num_rejected == 63
    assert counts.rejected["duplicate"] == 1
    assert counts.num_rejected >= 3
    version = load(found.version.folder)
    written = [example for part in version.parts for example in version.examples(part)]
    assert len(written) == counts.num_written
    assert {example.messages[0].content for example in written} <= {item["prompt"] for item in items}
    rejected = [json.loads(line) for line in (version.folder / "rejected.jsonl").read_text().splitlines()]
    assert len(rejected) == counts.num_rejected
    assert all(row["reason"] for row in rejected)


def test_the_same_input_and_the_plan_that_was_written_give_the_same_hash(tmp_path, request_for):
    source = write(tmp_path / "words.jsonl", [*rows(60), rows(60)[0]])
    first = prepare(None, request_for(source), approve=lambda number, finding: True, progress=Silent())
    plan = Plan.from_toml(first.version.folder / "plan.toml")
    again = prepare(None, request_for(source, plan=plan), approve=None, progress=Silent())
    assert again.version.hash == first.version.hash
    assert not again.is_new
    assert len(versions(tmp_path / "data")) == 1


def test_a_remedy_that_is_refused_is_not_done_and_the_plan_remembers_it(tmp_path, request_for):
    source = write(tmp_path / "words.jsonl", [*rows(60), rows(60)[0]])
    asked = []

    def refuse(number, finding):
        asked.append(finding.check)
        return False

    found = prepare(None, request_for(source), approve=refuse, progress=Silent())
    assert "exact_duplicates" in asked
    assert found.version.counts.num_rejected == 0
    plan = Plan.from_toml(found.version.folder / "plan.toml")
    assert plan.of("exact_duplicates").remedy == "skip"
    assert plan.of("size").remedy == "ask"


def test_a_test_given_apart_is_not_divided_and_what_it_shares_with_training_leaves_training(tmp_path, request_for):
    items = rows(60)
    source, test = write(tmp_path / "train.jsonl", items[:50]), write(tmp_path / "test.jsonl", items[45:])
    found = prepare(None, request_for(source, tests=[test]), approve=None, progress=Silent())
    assert found.version.parts["test"].num_rows == 15
    assert found.version.parts["train"].num_rows == 45
    assert found.version.counts.rejected == {"contamination": 5}


def test_training_rows_that_hold_an_item_of_an_earlier_skill_are_dropped(tmp_path, request_for):
    items = rows(80)
    with Workspace.create(tmp_path / "home") as workspace:
        from holdfast.jobs.workspace import add_base

        add_base(workspace, "holdfast:tiny")
        earlier = prepare(
            None, request_for(write(tmp_path / "old.jsonl", items[:40])), approve=None, progress=Silent()
        ).version
        from holdfast.jobs.material import put_items

        hashes = {part: put_items(workspace, list(earlier.examples(part))) for part in ("train", "test")}
        workspace.add_skill(Skill("old", hashes["train"], hashes["test"], "exact"))
        made = workspace.add_version(Version("", None, "holdfast:tiny", "", {}, "candidate", skill="old"))
        workspace.promote(made.id)
        tested = [example.messages[0].content for example in earlier.examples("test")]
        taught = [example.messages[0].content for example in earlier.examples("train")]
        leaking = [item for item in items[:40] if item["prompt"] in tested][:3]
        found = prepare(
            workspace,
            request_for(write(tmp_path / "new.jsonl", [*items[40:], *leaking]), to=None),
            approve=None,
            progress=Silent(),
        )
        kept = {example.messages[0].content for example in found.version.examples("train")}
        assert not kept & set(tested)
        assert found.version.folder.parent == workspace.root / "data"
        assert load(found.version.folder).compared_with == {
            "the test of old": hashes["test"],
            "the training data of old": hashes["train"],
        }
        assert "the test of old" in (found.version.folder / "report.html").read_text()
        seen = [item for item in items[:40] if item["prompt"] in taught][:4]
        test = write(tmp_path / "test.jsonl", [*seen, *items[70:]])
        found = prepare(
            workspace,
            request_for(write(tmp_path / "new.jsonl", items[40:70]), tests=[test], to=None),
            approve=None,
            progress=Silent(),
        )
        assert found.version.counts.rejected["seen_in_training"] == 4


def test_learn_takes_a_version_as_it_is(tmp_path, request_for):
    found = prepare(None, request_for(write(tmp_path / "words.jsonl", rows(60))), approve=None, progress=Silent())
    raw = read_all(str(found.version.folder), None, Recipe(), Silent())
    assert {example.id for example in raw.train.examples} == {one.id for one in found.version.examples("train")}
    assert {example.id for example in raw.test.examples} == {one.id for one in found.version.examples("test")}
    with pytest.raises(ConfigError, match="was divided when it was prepared"):
        read_all(str(found.version.folder), None, Recipe.from_overrides(["evaluation.test_share=0.3"]), Silent())
    with pytest.raises(DataError, match="--column"):
        read_all(str(found.version.folder), None, Recipe(), Silent(), {"prompt": "question"})


def test_an_edited_version_is_refused(tmp_path, request_for):
    found = prepare(None, request_for(write(tmp_path / "words.jsonl", rows(60))), approve=None, progress=Silent())
    with (found.version.folder / "train.parquet").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match=r"train\.parquet was edited"):
        read_all(str(found.version.folder), None, Recipe(), Silent())


def test_nothing_to_learn_says_why_and_writes_nothing(tmp_path, request_for):
    source = write(tmp_path / "words.jsonl", [{"prompt": "", "completion": "x"}, {"prompt": "y", "completion": ""}])
    with pytest.raises(NothingToLearnError, match=r"No row can be used\. Rejected: 2 \(empty\)"):
        prepare(None, request_for(source), approve=None, progress=Silent())
    assert versions(tmp_path / "data") == []
    assert [item.name for item in (tmp_path / "data").iterdir()] == []


def test_without_a_workspace_a_place_must_be_named(tmp_path, request_for):
    with pytest.raises(DataError, match="--to FOLDER"):
        prepare(None, request_for("words.jsonl", to=None), approve=None, progress=Silent())


def test_an_unknown_key_of_a_plan_is_named_with_the_nearest_one():
    with pytest.raises(ConfigError, match=r"checks\.exact_duplicate.*did you mean checks\.exact_duplicates"):
        plan_of(None, ["checks.exact_duplicate.enabled=false"])


def test_a_preparation_that_was_killed_leaves_scratch_that_a_later_one_removes(tmp_path, request_for):
    dead, busy = (tmp_path / "data" / f".holdfast-prepare-{name}" for name in ("dead", "busy"))
    for folder in (dead, busy):
        folder.mkdir(parents=True)
    with (busy / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        prepare(None, request_for(write(tmp_path / "words.jsonl", rows(60))), approve=None, progress=Silent())
        assert busy.exists()
    assert not dead.exists()
    assert not [path for path in (tmp_path / "data").glob(".holdfast-*") if path != busy]


def test_columns_that_are_no_part_of_an_example_go_with_it_and_those_that_are_only_if_named(tmp_path, request_for):
    source = write(tmp_path / "words.jsonl", [{**row, "target": number} for number, row in enumerate(rows(60))])
    found = prepare(None, request_for(source), approve=None, progress=Silent())
    assert {frozenset(example.columns) for example in found.version.examples("train")} == {frozenset({"target"})}
    found = prepare(None, request_for(source, keep=["completion"]), approve=None, progress=Silent())
    assert {frozenset(one.columns) for one in found.version.examples("train")} == {frozenset({"target", "completion"})}


@pytest.mark.parametrize("kept", [True, False])
def test_personal_data_stands_in_no_part_and_in_the_ledgers_only_as_long_as_wanted(tmp_path, request_for, kept):
    items = rows(60)
    items[2]["prompt"] += " Write to anna.kruse@example.org."
    source = write(tmp_path / "words.jsonl", [*items, items[2], {"prompt": "Mail anna.kruse@example.org!"}])
    overrides = [f"checks.personal_data.keep_before={json.dumps(kept)}"]
    found = prepare(None, request_for(source, overrides=overrides), approve=None, progress=Silent())
    texts = [m.content for part in found.version.parts for one in found.version.examples(part) for m in one.messages]
    assert any("[EMAIL_1]" in text for text in texts)
    holding = {path.name for path in found.version.folder.iterdir() if b"anna.kruse" in path.read_bytes()}
    assert holding == ({"changed.jsonl", "rejected.jsonl"} if kept else set())


def test_clusters_of_duplicates_can_be_looked_through_and_another_row_be_kept(tmp_path, request_for):
    items = rows(60)
    source = write(tmp_path / "words.jsonl", [*items, items[3]])
    found = prepare(None, request_for(source, review=tmp_path / "review"), approve=None, progress=Silent())
    file = tmp_path / "review" / "exact_duplicates.csv"
    assert any(str(file) in note for note in found.notes)
    lines = file.read_text().splitlines()
    assert len(lines) == 3
    file.write_text("\n".join(line.replace("False", "true").replace("True", "false") for line in lines) + "\n")
    overrides = [f"checks.exact_duplicates.review={file}"]
    found = prepare(None, request_for(source, overrides=overrides), approve=None, progress=Silent())
    (rejected,) = [json.loads(line) for line in (found.version.folder / "rejected.jsonl").read_text().splitlines()]
    assert rejected["line"] == 4


def test_documents_become_questions_and_the_test_asks_for_facts_in_other_words(tmp_path, request_for):
    guide = tmp_path / "guide.md"
    guide.write_text(
        "# Returns\nCustomers may return goods within 30 days. A refund takes 5 days.\n\n"
        "# Warranty\nThe warranty lasts 24 months. A claim must include the serial number.\n"
    )
    source = write(tmp_path / "words.jsonl", rows(30))
    found = prepare(None, request_for(str(guide), source), approve=None, progress=Silent())
    train = [one for one in found.version.examples("train") if one.document]
    test = [one for one in found.version.examples("test") if one.document]
    assert {one.columns["fact"] for one in test} <= {one.columns["fact"] for one in train}
    assert not {one.messages[0].content for one in test} & {one.messages[0].content for one in train}
    assert all(
        str(one.messages[-1].content) in one.document.replace("\n", " ")
        for one in train
        if "section" not in one.messages[0].content
    )
    assert "near_duplicate" not in found.version.counts.rejected
    assert {(source.path.rpartition("/")[2], bool(source.sha256)) for source in found.version.sources} == {
        ("guide.md", True),
        ("words.jsonl", True),
    }


def test_a_document_that_cannot_be_read_is_a_rejected_row_and_the_others_are_used(tmp_path, request_for):
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "guide.md").write_text("# Returns\nCustomers may return goods within 30 days.\nRefunds take 14 days.\n")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    source = write(tmp_path / "words.jsonl", rows(20))
    found = prepare(None, request_for(str(folder), source), approve=None, progress=Silent())
    counts = found.version.counts
    assert (counts.read, counts.documents, counts.lost_documents) == (20, 2, {"file": 1})
    assert "file" not in counts.rejected
    assert not [one for one in found.version.sources if one.path.endswith("broken.pdf")]
    (finding,) = [one.finding for one in found.outcomes if one.finding.check == "documents"]
    assert finding.title == "1 of 2 documents gave nothing to learn (1 cannot be read)"
    assert any("broken.pdf: this PDF cannot be read" in note for note in found.notes)
    with pytest.raises(DataError, match="cannot be read"):
        prepare(None, request_for(str(folder / "broken.pdf"), source), approve=None, progress=Silent())


def test_rows_made_from_documents_are_made_and_a_document_without_a_question_is_named(tmp_path, request_for):
    (tmp_path / "guide.md").write_text("# Returns\nCustomers may return goods within 30 days.\nRefunds take 14 days.\n")
    (tmp_path / "poem.txt").write_text("Oh, the wind and the rain.\n")
    source = write(tmp_path / "words.jsonl", rows(20))
    request = request_for(str(tmp_path / "guide.md"), str(tmp_path / "poem.txt"), source)
    found = prepare(None, request, approve=None, progress=Silent())
    version = load(found.version.folder)
    counts = version.counts
    assert (counts.read, counts.documents, counts.lost_documents) == (20, 2, {"no_question": 1})
    assert counts.made > 0
    assert counts.read + counts.made == counts.unchanged + counts.changed + counts.num_rejected
    marked = [(bool(row.example.document), row.synthetic) for part in version.parts for row in version.rows(part)]
    assert {document for document, _ in marked} == {True, False}
    assert all(document == synthetic for document, synthetic in marked)
    num_synthetic = sum(part.num_synthetic for part in version.parts.values())
    assert num_synthetic == sum(synthetic for _, synthetic in marked)
    given = {one.path.rpartition("/")[2]: (one.num_rows, one.num_made) for one in version.sources}
    assert given == {"words.jsonl": (20, 0), "guide.md": (0, counts.made), "poem.txt": (0, 0)}
    rejected = [json.loads(line) for line in (version.folder / "rejected.jsonl").read_text().splitlines()]
    assert [row["source"] for row in rejected if row["kind"] == "no_question"] == [str(tmp_path / "poem.txt")]
    assert any("poem.txt: no question came out" in note for note in found.notes)
    assert "1 of 2 documents gave nothing" in (version.folder / "report.html").read_text()
    assert f"{counts.made} rows made, not read: questions and answers, by templates, on 1 document." in (
        (version.folder / "datasheet.md").read_text()
    )


def test_pages_that_were_left_out_are_a_finding(tmp_path, request_for, monkeypatch):
    from holdfast.jobs import asked_documents

    read = asked_documents.passages_of_all

    def lossy(papers, notes):
        yield from read(papers, notes)
        notes.append(f"{papers[0]}: left out: page 2 holds pictures and no text")

    monkeypatch.setattr(asked_documents, "passages_of_all", lossy)
    (tmp_path / "guide.md").write_text("# Returns\nCustomers may return goods within 30 days.\nRefunds take 14 days.\n")
    request = request_for(str(tmp_path / "guide.md"), write(tmp_path / "words.jsonl", rows(20)))
    found = prepare(None, request, approve=None, progress=Silent())
    (finding,) = [one.finding for one in found.outcomes if one.finding.check == "documents"]
    assert (finding.title, finding.level) == ("Parts of 1 document could not be read", "warning")
    assert finding.shown[0].before.endswith("guide.md: left out: page 2 holds pictures and no text")


def test_rows_that_cannot_be_read_are_a_finding_that_is_left(tmp_path, request_for):
    source = write(tmp_path / "words.jsonl", [*rows(20), {"prompt": "Which?"}, {"nothing": "here"}])
    found = prepare(None, request_for(source), approve=None, progress=Silent())
    finding = found.outcomes[0].finding
    assert (finding.check, finding.level, finding.num_rows) == ("reading", "problem", 2)
    assert finding.title.startswith("2 of 22 rows could not be read (roles 1, columns 1)")
    assert [row.source for row in finding.shown] == [f"{source}:21", f"{source}:22"]
    page = (found.version.folder / "report.html").read_text()
    assert "left to look at:" in page
    assert "Nothing is left" not in page


def test_a_writer_that_does_not_answer_stops_the_preparation(tmp_path, request_for):
    (tmp_path / "guide.md").write_text("# Returns\nCustomers may return goods within 30 days.\n")
    overrides = ["writer.model=any", "writer.base_url=http://127.0.0.1:9/v1", "writer.seconds=0.2"]
    with pytest.raises(DataError, match=r"any did not answer.*writer\.base_url"):
        prepare(None, request_for(str(tmp_path / "guide.md"), overrides=overrides), approve=None, progress=Silent())


def test_a_writer_without_its_key_or_with_a_short_answer_is_set_up_as_told(monkeypatch):
    from holdfast.jobs.writing import writer

    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ConfigError, match="MY_KEY"):
        writer(Plan.from_mapping({"writer": {"model": "any", "api_key_env": "MY_KEY"}}).writer)
    assert writer(plan_of(None, []).writer) is None
    asked = []

    class Server:
        """Answers as OpenAI's client does."""

        def __init__(self):
            self.chat = self.completions = self
            self.choices = [self]
            self.message = self
            self.content = "said"

        def create(self, **given):
            asked.append(given)
            return self

    monkeypatch.setattr("holdfast.jobs.writing.client", lambda *given: Server())
    write = writer(plan_of(None, ["writer.model=any", "writer.max_tokens=77"]).writer)
    assert write([[{"role": "user", "content": "x"}]] * 2) == ["said", "said"]
    assert [given["max_completion_tokens"] for given in asked] == [77, 77]


def asking(num):
    draw = random.Random(4)
    things = [
        "invoice",
        "order",
        "refund",
        "parcel",
        "account",
        "password",
        "delivery",
        "address",
        "contract",
        "ticket",
    ]
    rows = []
    for number in range(num):
        one, two, three = draw.sample(things, 3)
        rows.append({"prompt": f"Tell me how I change the {one} for {two} number {number}, not the {three}.",
                     "completion": f"Open the {one} page, choose {two} {number}, and leave the {three}."})  # fmt: skip
    return rows


ALIKE = ["checks.near_duplicates.enabled=false"]


def test_other_wordings_are_made_of_training_rows_only_and_marked(tmp_path, request_for):
    source = write(tmp_path / "asking.jsonl", asking(60))
    overrides = [*ALIKE, "augment.enabled=true", 'augment.ways=["polite", "please"]', "augment.max_share=0.25"]
    found = prepare(None, request_for(source, overrides=overrides), approve=None, progress=Silent())
    counts, version = found.version.counts, load(found.version.folder)
    train, test = (list(version.examples(name)) for name in ("train", "test"))
    made = [one for one in train if "synthetic" in one.columns]
    assert counts.read == 60
    assert counts.unchanged + counts.changed + counts.num_rejected == 60 + counts.made
    assert sum(part.num_synthetic for part in version.parts.values()) == counts.made
    assert counts.made == len(made) == len(train) // 4
    assert {one.columns["synthetic"] for one in made} <= {"polite", "please"}
    originals = {one.id: one for one in train if "synthetic" not in one.columns}
    assert all(one.messages[-1] == originals[one.columns["synthetic_of"]].messages[-1] for one in made)
    assert not any("synthetic" in one.columns for one in test)
    assert found.outcomes[-1].finding.check == "augment"
    replay = request_for(source, plan=plan_of(version.folder / "plan.toml", []))
    assert prepare(None, replay, approve=None, progress=Silent()).version.hash == version.hash
    plain = prepare(None, request_for(source, overrides=ALIKE), approve=None, progress=Silent())
    assert plain.version.hash != version.hash


def test_wordings_are_no_prompt_of_an_earlier_test(tmp_path, request_for, monkeypatch):
    source = write(tmp_path / "asking.jsonl", asking(40))
    overrides = [
        *ALIKE,
        "augment.enabled=true",
        'augment.ways=["please"]',
        "augment.at_once=3",
        "augment.per_example=1",
    ]
    first = prepare(None, request_for(source, overrides=overrides), approve=None, progress=Silent())
    made = [one for one in load(first.version.folder).examples("train") if "synthetic" in one.columns]
    monkeypatch.setattr("holdfast.jobs.prepare.earlier_tests", lambda *given: {"test of old": lambda: iter(made[:5])})
    overrides.append("checks.contamination.enabled=false")
    again = prepare(None, request_for(source, overrides=overrides), approve=None, progress=Silent())
    left = {one.messages[0].content for one in load(again.version.folder).examples("train")}
    assert not left & {one.messages[0].content for one in made[:5]}


def test_paraphrases_without_a_model_are_refused_before_anything_is_read(tmp_path, request_for):
    request = request_for(str(tmp_path / "not there.jsonl"), overrides=["augment.enabled=true"])
    with pytest.raises(DataError, match="Paraphrases are written by a model, and none was chosen"):
        prepare(None, request, approve=None, progress=Silent())


def test_wordings_settings_that_change_nothing_are_refused():
    with pytest.raises(ConfigError, match=r"augment.*enabled"):
        plan_of(None, ["augment.max_share=0.2"])


def test_the_embedded_base_can_be_the_writer(tmp_path, request_for):
    """It has not learned to write questions: what it says is counted with the reason, beside what templates ask."""
    guide = tmp_path / "guide.md"
    guide.write_text("# Returns\nCustomers may return goods within 30 days.\nRefunds take 14 days.\n")
    source = write(tmp_path / "words.jsonl", rows(20))
    overrides = ["writer.model=holdfast:tiny", "writer.max_tokens=16"]
    found = prepare(None, request_for(str(guide), source, overrides=overrides), approve=None, progress=Silent())
    said = next(note for note in found.notes if "1 document in" in note)
    assert "unreadable" in said
    assert any(one.document for one in found.version.examples("train"))


def test_a_writer_loaded_here_says_the_same_twice_and_refuses_what_it_cannot_read():
    from holdfast.jobs.writing import writer

    write = writer(plan_of(None, ["writer.model=holdfast:tiny", "writer.max_tokens=16"]).writer)
    talks = [[{"role": "user", "content": text}] for text in ("Say hello.", "Count to three.")]
    assert write(talks) == write(talks)
    assert len(write(talks)) == 2
    assert write([]) == []
    with pytest.raises(DataError, match=r"holdfast:tiny reads 4096 tokens.*knowledge\.chunks"):
        write([[{"role": "user", "content": "word " * 5000}]])
    assert plan_of(None, ["writer.model=some/name", "writer.base_url=local"]).writer.is_local
    assert not plan_of(None, ["writer.model=some/name"]).writer.is_local


def test_where_no_row_can_be_read_no_check_is_made(tmp_path, request_for):
    source = write(tmp_path / "words.jsonl", [{"question_text": "x"}, {"nothing": "here"}])
    with pytest.raises(NothingToLearnError, match=r"No row can be used\. Rejected: 2 \(columns\).*--column"):
        prepare(None, request_for(source), approve=None, progress=Silent())


def test_tokens_are_counted_as_the_tokenizer_counts_them():
    from holdfast.jobs.prepare import _counter

    tokenizer = load_tokenizer("holdfast:tiny")
    count = _counter(tokenizer)
    for text in ("", "Hello, world!", "سلام دنیا", "a" * 5000, "tab\tand\nline \x00"):
        assert count(text) == len(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_the_report_counts_the_tokens_of_rows_as_they_are_written(tmp_path, request_for):
    """Also of those that a check changed after they were measured: labels that are spelt in two ways."""
    items = [
        {"text": row["prompt"], "label": ("refund", "delivery", "REFUND", "refund")[number % 4]}
        for number, row in enumerate(rows(80))
    ]
    found = prepare(None, request_for(write(tmp_path / "l.jsonl", items)), approve=None, progress=Silent())
    version = load(found.version.folder)
    assert version.counts.changed >= 20
    tokenizer = load_tokenizer("holdfast:tiny")
    told = json.loads((version.folder / "report.json").read_text())["figures"]["tokens"]
    for side in ("train", "test"):
        labels = [row.label for row in version.examples(side)]
        assert told[side]["learned"] == sum(len(tokenizer.encode(one, add_special_tokens=False)) for one in labels)


def test_two_sources_with_the_same_kept_rows_leave_the_first_version_as_it_is(tmp_path, request_for):
    items = rows(60)
    first_source = write(tmp_path / "first.jsonl", [*items, {"nothing": "here"}])
    second_source = write(tmp_path / "second.jsonl", [*items, {"prompt": "Which?"}, {"nothing": "else"}])
    first = prepare(None, request_for(first_source), approve=None, progress=Silent())
    before = {item.name: item.read_bytes() for item in first.version.folder.iterdir()}
    second = prepare(None, request_for(second_source), approve=None, progress=Silent())
    assert second.version.hash == first.version.hash
    assert (second.written.state, second.written.first) == ("beside", first.version)
    assert {item.name: item.read_bytes() for item in first.version.folder.iterdir()} == before
    assert [source.path for source in load(second.version.folder).sources] == [second_source]
    assert second.version.counts.num_rejected == 2
    assert len(versions(tmp_path / "data")) == 1
