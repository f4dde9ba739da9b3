"""Graders with settings: OpenAI's JSON and the built-in ones; right, wrong, borderline and hostile answers."""

import gzip
import json

import pytest
from tests.unit.graders.test_graders import HOSTILE

from holdfast.cli.use import _columns_in
from holdfast.errors import ConfigError
from holdfast.graders import GRADERS, confined, grader, title
from holdfast.graders.countdown import evaluate, expression_in
from holdfast.graders.formula import Formula
from holdfast.graders.grader_file import is_file, read_grader
from holdfast.types import Completion, Example, Message

CALL = '{"name": "get_weather", "arguments": {"city": "Rome", "days": 3}}'


def said(text):
    return Completion(text, (), (), "stop")


def item(answer=None, **columns):
    turns = (Message("user", "how much?"), *([Message("assistant", answer)] if answer is not None else []))
    return Example("x", turns, columns=columns)


def score(settings, text, example):
    found = grader(settings)(said(text), example)
    assert 0.0 <= found.value <= 1.0
    assert found.explanation
    return found


def lines_of(path):
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


@pytest.mark.parametrize(
    ("operation", "text", "right"),
    [
        ("eq", "Rome", True), ("eq", "rome", False), ("eq", "Rome ", False),
        ("ne", "Rome", False), ("ne", "Milan", True), ("neq", "Milan", True),
        ("like", "in Rome.", True), ("like", "in rome.", False), ("ilike", "in rome.", True), ("ilike", "", False),
    ],
)  # fmt: skip
def test_string_check(operation, text, right):
    settings = {"type": "string_check", "operation": operation, "reference": "{{ item.city }}"}
    assert score(settings, text, item(city="Rome")).passed is right


def test_openai_function_calling_example():
    settings = {
        "type": "multi",
        "graders": {
            "name": {
                "type": "string_check", "input": "{{ sample.output_tools[0].function.name }}",
                "reference": "{{ item.tool }}", "operation": "eq",
            },
            "arguments": {
                "type": "string_check", "input": "{{sample.output_tools[0].function.arguments}}",
                "reference": "{{item.arguments}}", "operation": "eq",
            },
        },
        "calculate_output": "0.5 * name + 0.5 * arguments",
    }  # fmt: skip
    example = item(tool="get_weather", arguments='{"city": "Rome", "days": 3}')
    assert score(settings, f"<tool_call>{CALL}</tool_call>", example).value == 1.0
    assert score(settings, CALL.replace("3", "4"), example).value == 0.5
    found = score(settings, "no call at all", example)
    assert (found.value, found.passed, found.error_type) == (0.0, False, None)  # nothing was called: a wrong answer
    assert "name: missing: [0] of {{ sample.output_tools[0].function.name }}" in found.explanation
    assert score(settings, CALL, item(arguments="{}")).error_type == "grader_failed"  # the row's own column


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("sample.output_tools[1].function.name", None),
        ("sample.choices[0].message.tool_calls[1].function.name", None),
        ("sample.output_json.city", None),
        ("sample.output_json.cities[0]", None),
        ("sample.output_tool[0].function.name", "grader_failed"),
        ("sample.output_tools[0].name", "grader_failed"),
        ("sample.choices[1].message", "grader_failed"),
        ("item.city", "grader_failed"),
        ("item.tags[0]", "grader_failed"),
    ],
)
def test_what_a_model_did_not_write_is_wrong_and_what_no_answer_has_is_not_graded(path, kind):
    settings = {"type": "string_check", "input": f"{{{{ {path} }}}}", "reference": "Rome"}
    found = score(settings, CALL, item(tags=[]))
    assert (found.passed, found.error_type) == (False, kind)
    assert found.explanation.startswith("missing: ") is (kind is None)
    assert "is not there" in found.explanation


def test_json_of_an_answer_is_read_from_templates():
    settings = {"type": "string_check", "input": "{{ sample.output_json.cities[1].name }}", "reference": "Rome"}
    answer = 'Here:\n```json\n{"cities": [{"name": "Bari"}, {"name": "Rome"}]}\n```'
    assert score(settings, answer, item()).passed
    missing = score(settings, '{"cities": []}', item())
    assert (missing.value, missing.error_type) == (0.0, None)
    assert missing.explanation == "missing: [1] of {{ sample.output_json.cities[1].name }} is not there"
    assert score(settings, "no JSON", item()).error_type is None


def test_values_that_are_no_text_are_written_as_json():
    settings = {"type": "string_check", "reference": "{{ item.counts }} of {{ item.total }}"}
    assert score(settings, '{"a": [1, null]} of 3', item(counts={"a": [1, None]}, total=3)).passed


# Worked out by hand: the bigrams of "the cat sat" and "the cat sat down" share 2, the unigrams 3.
@pytest.mark.parametrize(
    ("metric", "text", "value"),
    [
        ("rouge_1", "the cat sat", 2 * (3 / 3) * (3 / 4) / (3 / 3 + 3 / 4)),
        ("rouge_2", "the cat sat", 2 * (2 / 2) * (2 / 3) / (2 / 2 + 2 / 3)),
        ("rouge_3", "the cat sat", 2 * (1 / 1) * (1 / 2) / (1 / 1 + 1 / 2)),
        ("rouge_l", "the cat sat", 6 / 7),
        ("gleu", "the cat sat", (3 + 2 + 1) / (4 + 3 + 2 + 1)),
        ("bleu", "the cat sat down", 1.0),
        ("fuzzy_match", "the cat sat down", 1.0),
        ("fuzzy_match", "zzz", 0.0),
        ("bleu", "", 0.0),
        ("meteor", "dog", 0.0),
    ],
)
def test_text_similarity(metric, text, value):
    found = score({"type": "text_similarity", "evaluation_metric": metric}, text, item("the cat sat down"))
    assert found.value == pytest.approx(value, abs=1e-6)
    assert found.passed is (value >= 0.5)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("it is $0.5$", True), ("so \\boxed{\\frac{2}{4}}", True), ("1/2", True), ("50%", True),
        ("0.51", False), ("no idea", False), ("", False),
    ],
)  # fmt: skip
def test_math(text, right):
    assert score({"type": "math"}, text, item("\\frac{1}{2}")).passed is right


def test_a_reference_that_is_no_expression_is_no_zero():
    assert score({"type": "math"}, "1", item("what?")).error_type == "no_reference"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("<answer>96 - 37 - 4 * 1</answer>", True), ("<answer>(96 - 37 - 4) / 1</answer>", True),
        ("96 - 37 - 4 \u00d7 1 = 55", True), ("thinking...\n96-(37+4)*1", True), ("<answer>96-37-4--1</answer>", False),
        ("<answer>96-37-4</answer>", False), ("<answer>96-37-4*1*1</answer>", False), ("<answer>96-41</answer>", False),
        ("<answer>55</answer>", False), ("<answer></answer>", False), ("", False),
        ("<answer>96-37-4*1.0</answer>", False),
        ("<answer>96-37-4*1**1</answer>", False), ("<answer>96//1-37-4</answer>", False),
        ("<answer>96-37-4/(1-1)</answer>", False), ("<answer>9 6-37-4*1</answer>", False),
    ],
)  # fmt: skip
def test_countdown(text, right):
    found = score("countdown", text, item(nums=[96, 37, 4, 1], target=55))
    assert (found.passed, found.error_type) == (right, None)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("<think>perhaps <answer>1 + 2</answer></think>\n<answer>2 * 1</answer>", False),
        ("<think>perhaps <answer>2 * 1</answer></think>\n1 + 2", True),
        ("<think>so <answer>1 + 2</answer> it", False),
        ("no: <answer>2 * 1</answer></think><answer>1 + 2</answer>", True),
    ],
)
def test_an_answer_within_the_reasoning_is_none(text, right):
    assert score("countdown", text, item(nums=[1, 2], target=3)).passed is right
    assert not score("choice", "<think><answer>B</answer></think> it is C", item("B")).passed
    assert not score("choice", "<think><answer>B</answer>", item("B")).passed
    assert score("choice", "<think><answer>C</answer></think><answer>B</answer>", item("B")).passed


def test_countdown_counts_in_fractions():
    assert evaluate("1/3+1/3+1/3") == (1, [1, 3, 1, 3, 1, 3])
    assert evaluate("-(2-5)*4") == (12, [2, 5, 4])
    assert expression_in("no tag\n1 + 2 = 3") == "1 + 2"
    for text in ("((1)", "1)", "1+", "+1", "1 2", "1.5", "a", "()", "2^3", "1e3", "-" * 50 + "1", "(" * 60 + "1"):
        with pytest.raises(ValueError, match=r"expected|ends|parenthes"):
            evaluate(text)


@pytest.mark.parametrize("columns", [{}, {"nums": [], "target": 1}, {"nums": ["1"], "target": 1}, {"nums": [1]}])
def test_countdown_without_its_numbers_is_no_zero(columns):
    assert score("countdown", "1", item(**columns)).error_type is not None
    assert score("countdown", "1", item(nums=[1], target="x")).error_type == "no_reference"


def test_real_countdown_items_are_graded(shared_data):
    rows = lines_of(shared_data / "countdown" / "test.jsonl.gz")[:200]
    for row in rows:
        example = item(nums=row["nums"], target=row["target"])
        wrong = score("countdown", f"<answer>{' + '.join(map(str, row['nums']))}</answer>", example)
        assert wrong.error_type is None
        assert wrong.passed is (sum(row["nums"]) == row["target"])


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('{"city": "Rome"}', True), ('```json\n{"city": "Rome"}\n```', True), ('{"city": 3}', False), ("{}", False),
        ("no json", False), ('{"city": "Rome"', False),
    ],
)  # fmt: skip
def test_json_schema(text, right):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    assert score({"type": "json_schema", "schema": schema}, text, item()).passed is right
    assert score({"type": "json_schema", "schema": "{{ item.form }}"}, text, item(form=schema)).passed is right


def test_null_is_json_too():
    settings = {"type": "json_schema", "schema": {"type": ["null", "string"]}}
    for text in ("null", " null\n", "```json\nnull\n```", "<think>hm</think>null"):
        assert score(settings, text, item()).passed
    assert not score({"type": "json_schema", "schema": {"type": "string"}}, "null", item()).passed
    assert "no JSON" in score(settings, "nothing", item()).explanation


def test_a_schema_that_is_none_is_no_zero():
    settings = {"type": "json_schema", "schema": "{{ item.form }}"}
    assert score(settings, "{}", item(form={"type": "nothing"})).error_type == "no_reference"
    assert score(settings, "{}", item(form="text")).error_type == "no_reference"


@pytest.mark.parametrize("place", ["#/$defs/city", "http://127.0.0.1:1/schema.json", "file:///etc/hostname", "other"])
def test_a_reference_that_leads_nowhere_is_said(place):
    schema = {"type": "object", "properties": {"city": {"$ref": place}}}
    with pytest.raises(ConfigError, match=r"grader's schema.*\$ref .* leads nowhere: put what .* under \$defs"):
        grader({"type": "json_schema", "schema": schema})
    settings = {"type": "json_schema", "schema": "{{ item.form }}"}
    found = score(settings, '{"city": "Rome"}', item(form=schema))
    assert found.error_type == "no_reference"
    assert "leads nowhere" in found.explanation


def test_references_within_a_schema_and_to_the_draft_lead_somewhere():
    inner = {"type": "object", "properties": {"next": {"$ref": "#/$defs/city"}, "form": {"$ref": "#form"}}}
    draft = {"$anchor": "form", "$ref": "https://json-schema.org/draft/2020-12/schema"}
    settings = {"type": "json_schema", "schema": {"$ref": "#/$defs/city", "$defs": {"city": inner, "form": draft}}}
    assert score(settings, '{"next": {"next": {}}}', item()).passed
    assert not score(settings, '{"next": {"next": 1}}', item()).passed
    assert not score(settings, '{"form": {"type": "nothing"}}', item()).passed
    with pytest.raises(ConfigError, match="grader's schema: the schema is not valid"):
        grader({"type": "json_schema", "schema": {"type": "nothing"}})


def test_regex():
    settings = {"type": "regex", "pattern": r"\b\d{3}-\d{4}\b"}
    assert score(settings, "call 555-1234", item()).passed
    assert not score(settings, "call 5551234", item()).passed
    assert not score({**settings, "full": True}, "call 555-1234", item()).passed
    assert score({"type": "regex", "pattern": "{{ item.word }}", "ignore_case": True}, "ROME", item(word="rome")).passed


def test_a_pattern_that_never_ends_is_stopped():
    found = score({"type": "regex", "pattern": r"^(([a-z])+.)+[A-Z]([a-z])+$"}, "a" * 60, item())
    assert (found.passed, found.error_type) in [(False, "time_out"), (False, None)]


def test_unit_tests():
    settings = {"type": "unit_tests", "tests": "{{ item.tests }}", "seconds": 1}
    example = item(tests=["assert f(2) == 4", "assert f(3) == 9"])
    right, half, broken, loop = grader(settings).many(
        [
            (said("Here it is:\n```python\ndef f(x):\n    return x * x\n```\nDone."), example),
            (said("def f(x): return 4"), example),
            (said("def f(x: return"), example),
            (said("while True: pass"), example),
        ]
    )
    assert [one.value for one in (right, half, broken, loop)] == [1.0, 0.5, 0.0, 0.0]
    assert [one.passed for one in (right, half, broken, loop)] == [True, False, False, False]
    assert "SyntaxError" in broken.explanation
    assert "more than 1 s" in loop.explanation
    assert grader(settings)(said("f = 1"), item(tests=3)).error_type == "no_reference"


def test_real_solutions_pass_their_tests(shared_data):
    rows = lines_of(shared_data / "humaneval" / "HumanEval.jsonl.gz")[:40]
    settings = {
        "type": "unit_tests",
        "prefix": "{{ item.prompt }}",
        "tests": ["{{ item.test }}\ncheck({{ item.entry_point }})"],
    }
    answers = [(said(row["canonical_solution"]), item(**row)) for row in rows]
    assert all(found.passed for found in grader(settings).many(answers))
    emptied = [(said("    return None"), example) for _, example in answers]
    assert sum(found.passed for found in grader(settings).many(emptied)) <= 1


def test_python():
    source = "def grade(sample, item):\n    return 1.0 if item['word'] in sample['output_text'] else 0.25"
    assert score({"type": "python", "source": source}, "in Rome", item(word="Rome")).value == 1.0
    assert not score({"type": "python", "source": source}, "in Bari", item(word="Rome")).passed
    crash = {"type": "python", "source": "def grade(sample, item): return item['nothing']"}
    assert score(crash, "x", item()).error_type == "grader_failed"
    assert score({**crash, "on_error": "zero"}, "x", item()).error_type is None
    beyond = score({"type": "python", "source": "def grade(sample, item): return 7"}, "x", item())
    assert beyond.error_type == "invalid_score"
    assert "the grader returned 7; scores lie between 0 and 1: have it return (value - least)" in beyond.explanation


def test_an_image_tag_is_accepted_and_said_at_the_start_to_have_no_effect(monkeypatch, caplog):
    monkeypatch.setattr(confined, "missing_here", lambda: ["network"])
    plain = {"type": "python", "source": "def grade(sample, item): return 1", "unenforced": ["network"]}
    (missing,) = grader(plain).ready()
    found = grader({**plain, "image_tag": "2025-05-08"})
    assert found == grader({**plain, "image_tag": "2025-05-08", "name": None})
    first, second = found.ready()
    assert first == missing
    assert "image_tag '2025-05-08' has no effect" in second
    assert not caplog.messages
    assert found(said("x"), item()).passed
    assert found.spelled() == grader(plain).spelled()
    whole = {"type": "multi", "graders": {"a": {**plain, "image_tag": "old"}}, "calculate_output": "a"}
    assert "image_tag 'old' has no effect" in grader(whole).ready()[1]


def test_reward_callables_of_trl_are_taken_as_they_are():
    chat = (
        "def reward(prompts, completions, city, **kwargs):\n"
        "    return [float(name in answer[0]['content']) for answer, name in zip(completions, city)]"
    )
    settings = {"type": "python", "source": chat, "function": "reward"}
    assert score(settings, "in Rome", item(city="Rome")).value == 1.0
    assert score(settings, "in Bari", item(city="Rome")).value == 0.0
    unsure = {"type": "python", "source": "def r(completions): return [None for _ in completions]", "function": "r"}
    assert score(unsure, "x", item()).error_type == "not_graded"


def test_a_reward_gets_texts_where_the_row_has_a_text_as_its_prompt_and_messages_elsewhere():
    told = (
        "def reward(prompts, completions, trainer_state, **kwargs):\n"
        "    assert trainer_state is None and 'trainer_state' not in kwargs\n"
        "    assert kwargs.get('city') == ['Rome']\n"
        "    def plain(part): return part if isinstance(part, str) else part[-1]['content']\n"
        "    assert [plain(prompt) for prompt in prompts] == ['how much?'], prompts\n"
        "    assert [plain(answer) for answer in completions] == ['in Rome'], completions\n"
        "    return [0.25 if isinstance(answer, str) else 0.75 for answer in completions]"
    )
    settings = {"type": "python", "source": told, "function": "reward"}
    assert score(settings, "in Rome", item(prompt="how much?", city="Rome")).value == 0.25
    turns = [{"role": "user", "content": "how much?"}]
    for columns in ({"prompt": turns}, {"messages": [*turns, {"role": "assistant", "content": "Bari"}]}, {}):
        assert score(settings, "in Rome", item(city="Rome", **columns)).value == 0.75


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nothing_of_this_name\ndef grade(sample, item): return 1", "No module named 'nothing_of_this_name'"),
        ("def grader(sample, item): return 1\nN = 1", "it has no function 'grade'; it has grader"),
        ("grade = 1", "it has no function 'grade'; it has none"),
        ("while True: pass", "more than 0.5 s"),
    ],
)
def test_code_that_does_not_load_is_refused_before_anything_is_judged(monkeypatch, source, words):
    monkeypatch.setattr(confined, "missing_here", list)
    made = grader({"type": "python", "source": source, "seconds": 0.5, "on_error": "zero"})
    with pytest.raises(ConfigError, match=f"The grader's source cannot be used: .*{words}") as caught:
        made.ready()
    assert caught.value.param == "grader.source"
    assert grader({"type": "python", "source": "class grade:\n  def __init__(self, *a): 0"}).ready() == []


ASYNC = """
import asyncio
async def lengths(completions, **kwargs):
    async def one(answer):
        await asyncio.sleep(0.001)
        return await asyncio.get_running_loop().run_in_executor(None, len, answer[0]["content"])
    return [found / 10 for found in await asyncio.gather(*map(one, completions))]
async def grade(sample, item):
    await asyncio.sleep(0)
    return len(sample["output_text"]) / 10
class Callable:
    async def __call__(self, prompts, completions):
        return [0.5 for _ in completions]
instance = Callable()
def runs_its_own(completions):
    return asyncio.run(lengths(completions))
"""


@pytest.mark.parametrize(
    ("function", "value"), [("lengths", 0.4), ("grade", 0.4), ("instance", 0.5), ("runs_its_own", 0.4)]
)
def test_async_functions_are_awaited(function, value):
    settings = {"type": "python", "source": ASYNC, "function": function}
    found = grader(settings).many([(said("Rome"), item())] * 3)
    assert [(one.value, one.error_type) for one in found] == [(value, None)] * 3, found


def test_a_reward_gets_token_ids_and_may_log():
    source = (
        "def reward(prompts, completions, completion_ids, log_metric, log_extra):\n"
        "    log_metric('n', 1.0); log_extra('x', completions)\n"
        "    return [sum(ids) / 10 for ids in completion_ids]"
    )
    found = grader({"type": "python", "source": source, "function": "reward"})(
        Completion("Rome", (1, 4), (0.0, 0.0), "stop"), item()
    )
    assert (found.value, found.error_type) == (0.5, None)


@pytest.mark.parametrize(
    ("returned", "value", "error", "words"),
    [
        ("(0.25, 'too long')", 0.25, None, "too long"),
        ("(1, '')", 1.0, None, "the grader returned 1"),
        ("(None, 'cannot tell')", 0.0, "not_graded", "cannot tell"),
        ("(3, 'three stars')", 0.0, "invalid_score", "scores lie between 0 and 1"),
        ("(0.5, 7)", 0.0, "invalid_score", "a tuple instead of a number"),
    ],
)
def test_a_score_may_come_with_feedback(returned, value, error, words):
    for source in (f"def f(completions): return [{returned}]", f"def f(sample, item): return {returned}"):
        found = score({"type": "python", "source": source, "function": "f"}, "x", item())
        assert (found.value, found.error_type) == (value, error), found
        assert words in found.explanation


def test_a_reward_for_none_or_for_several_is_no_score():
    for rewards in ("[]", "[1.0, 0.0]"):
        source = f"def f(completions): return {rewards}"
        found = score({"type": "python", "source": source, "function": "f"}, "x", item())
        assert found.error_type == "grader_failed"
        assert "rewards for 1 completion" in found.explanation


@pytest.mark.parametrize(
    ("text", "value"),
    [("a + b", 3.0), ("2 ^ 3 - a", 7.0), ("min(a, b, 0.5)", 0.5), ("max(a, b) / 4", 0.5), ("-a + sqrt(4)", 1.0),
     ("floor(a * 1.7)", 1.0), ("ceil(a * 1.2)", 2.0), ("abs(-b)", 2.0), ("exp(0) + log(1)", 1.0)],
)  # fmt: skip
def test_formulas(text, value):
    assert Formula(text, {"a", "b"}).value({"a": 1.0, "b": 2.0}) == value


@pytest.mark.parametrize(
    "text",
    ["", "a +", "c", "a if b else 1", "a.real", "a[0]", "__import__('os')", "(lambda: 1)()", "a == b", "[a]", "'a'",
     "True", "min(x=a)", "abs(a, b)", "open('f')", "a and b", "1;2", "a" * 2000, "(" * 300 + "a" + ")" * 300, "f'{a}'"],
)  # fmt: skip
def test_nothing_else_is_a_formula(text):
    with pytest.raises(ConfigError, match="calculate_output"):
        Formula(text, {"a", "b"})


@pytest.mark.parametrize("text", ["a / 0", "sqrt(0 - a)", "log(0)", "10 ^ 400", "exp(1000)"])
def test_a_formula_without_a_value_is_no_zero(text):
    settings = {"type": "multi", "graders": {"a": {"type": "exact"}}, "calculate_output": text + " + 0 * a"}
    assert score(settings, "x", item("x")).error_type is not None


def test_a_part_that_cannot_be_graded_makes_the_whole_so():
    settings = {"type": "multi", "graders": {"a": {"type": "countdown"}}, "calculate_output": "a"}
    assert score(settings, "x", item()).error_type is not None
    unused = {**settings["graders"], "b": {"type": "exact"}}
    assert score({**settings, "graders": unused, "calculate_output": "b"}, "x", item("x")).passed


SETTINGS = {
    "countdown": {"type": "countdown", "numbers": "{{ item.nums }}"},
    "json_schema": {"type": "json_schema", "schema": {"type": "object", "required": ["zzz"]}},
    "math": {"type": "math", "reference": "12345"},
    "multi": {"type": "multi", "graders": {"a": {"type": "exact"}}, "calculate_output": "a"},
    "regex": {"type": "regex", "pattern": "zzz"},
    "string_check": {"type": "string_check", "reference": "zzz"},
    "text_similarity": {"type": "text_similarity", "evaluation_metric": "rouge_l", "reference": "zzz"},
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_hostile_answers_are_wrong_and_nothing_breaks(name, kind):
    found = grader(SETTINGS[name])(said(HOSTILE[kind]), item("12345", nums=[1, 2], target=3))
    assert not found.passed
    found.explanation.encode()
    assert len(found.explanation) < 700


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("exat", "Did you mean 'exact'"),
        ({"type": "string_chek"}, "Did you mean 'string_check'"),
        ({"type": "exact", "reference": "x"}, "has no settings"),
        ({"type": "countdown", "numbrs": "x"}, r"numbrs.*A countdown grader has: .*numbers"),
        ({"type": "regex", "pattern": "("}, "is no pattern"),
        ({"type": "python", "source": "def ("}, "is not Python"),
        ({"type": "text_similarity", "evaluation_metric": "cosin"}, "evaluation_metric"),
        (
            {"type": "text_similarity", "evaluation_metric": "cosine"},
            "give embedding_model, .*base_url.* or take fuzzy",
        ),
        (
            {"type": "text_similarity", "evaluation_metric": "bleu", "base_url": "http://x"},
            "only cosine asks a model, so base_url has no effect",
        ),
        ({"type": "string_check", "reference": "x", "pass_threshold": 2}, "pass_threshold"),
        ({"type": "multi", "graders": {}, "calculate_output": "1"}, "at least 1"),
        ({"type": "multi", "graders": {"a": {"type": "exact"}}, "calculate_output": "b"}, "none of its graders"),
        ({"type": "multi", "graders": {"a": SETTINGS["multi"]}, "calculate_output": "a"}, "cannot hold another"),
        ("{", "not JSON"),
        ("{}", "has no type"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings, words):
    with pytest.raises(ConfigError, match=words):
        grader(settings)


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_grader_is_spelled_in_one_way_and_read_back(name):
    found = grader(SETTINGS[name])
    again = grader(found.spelled())
    assert again.spelled() == found.spelled() == grader(dict(reversed(SETTINGS[name].items()))).spelled()
    assert title(found.spelled()) == name
    assert grader("exact").spelled() == grader({"type": "exact"}).spelled() == "exact"


def test_what_a_grader_reads_is_known_before_it_grades():
    assert grader("countdown").columns() == {"nums", "target"}
    assert grader({"type": "python", "source": "def grade(s, i): return 1"}).columns() == {"*"}
    lacking = grader("countdown").lacking(item(nums=[1]))
    assert lacking is not None
    assert "target" in lacking
    assert grader("countdown").lacking(item(nums=[1], target=1)) is None
    assert grader({"type": "string_check"}).lacking(item()) == "has no answer to compare with"
    assert grader({"type": "string_check"}).lacking(item("x")) is None
    assert grader("exact").lacking(item()) == "has no answer to compare with"


def test_graders_in_files(tmp_path):
    (tmp_path / "grader.json").write_text(json.dumps({"grader": {"type": "countdown"}}))
    (tmp_path / "mine.py").write_text("def grade(sample, item): return 1.0\ndef other(sample, item): return 0.0\n")
    assert grader(read_grader("grader.json", tmp_path)) == grader("countdown")
    assert grader(read_grader(str(tmp_path / "mine.py")))(said("x"), item()).passed
    assert not grader(read_grader(f"{tmp_path / 'mine.py'}:other"))(said("x"), item()).passed
    assert is_file("a/b.json")
    assert not is_file("exact")
    assert not is_file('{"type": "exact"}')
    for name, content in (("list.json", "[1]"), ("broken.json", "{"), ("bytes.json", b"\xff")):
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(ConfigError, match=r"JSON|text"):
            read_grader(str(tmp_path / name))
    with pytest.raises(ConfigError, match="No such file"):
        read_grader(str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("deep.json", "[" * 100_000, "is nested too deeply to be read"),
        ("empty.json", " \n", r"is empty\. Write a grader into it, such as \{\"type\": \"exact\"\}"),
        ("empty.py", "", r"is empty\. Write a grader into it, such as def grade"),
        ("bare.json", "{}", r"The grader has no type\. Give one of: actions, choice"),
        ("typo.json", '{"type": "exakt"}', "There is no grader 'exakt'. Did you mean 'exact'"),
        ("wrong.json", '{"type": "regex", "pattern": "("}', "The grader's pattern: .* is no pattern"),
        ("wrong.py", "def grade(", "The grader's source: is not Python"),
    ],
)
def test_what_is_wrong_with_a_grader_s_file_is_said_with_its_name(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=f"{name}: {words}"):
        read_grader(str(tmp_path / name))


def test_json_nested_too_deeply_is_an_error_with_words():
    with pytest.raises(ConfigError, match="nested too deeply"):
        grader('{"type": ' + "[" * 100_000)
    with pytest.raises(ConfigError, match="--item is nested too deeply"):
        _columns_in("[" * 100_000, "exact")
    with pytest.raises(ConfigError, match="The grader has no type"):
        grader("{}")


def test_every_grader_has_a_test_here_or_beside():
    plain = {name for name, kind in GRADERS.items() if not isinstance(kind, type)}
    assert set(GRADERS) == plain | set(SETTINGS) | {
        "python", "unit_tests", "score_model", "label_model", "tool_call_match",
    }  # fmt: skip
