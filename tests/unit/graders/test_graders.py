"""Right, wrong, borderline and hostile answers for every grader."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigError
from holdfast.graders import GRADERS, grader
from holdfast.graders.contains import stands_in
from holdfast.types import Completion, Example, Message, ToolCall

PLAIN = sorted(name for name, kind in GRADERS.items() if not isinstance(kind, type))
"""Graders without settings; those with settings have a file of their own."""
REFERENCED = [*(name for name in PLAIN if name != "preferred"), "tool_call_match"]
"""Graders that compare with the item's answer."""
TOOLS = ({"type": "function", "function": {"name": "set_timer"}},)


def said(text):
    return Completion(text, (), (), "stop")


def item(answer=None, *, label=None, tools=(), calls=()):
    turns = (Message("user", "q"),)
    if answer is not None or calls:
        turns += (Message("assistant", answer or "", calls),)
    return Example("x", turns, tools=tools, label=label)


def graded(name, text, example):
    score = grader(name)(said(text), example)
    assert score.value == float(score.passed)
    assert score.explanation
    return score


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("the  answer\n", True),
        ("the answer", True),
        ("The answer", False),
        ("the answer.", False),
        ("", False),
    ],
)
def test_exact_forgives_white_space_only(text, right):
    assert graded("exact", text, item("the answer")).passed is right


def test_exact_compares_composed_and_decomposed_letters_as_equal():
    assert graded("exact", "cafe\u0301", item("café")).passed


def test_a_label_is_the_reference_where_there_is_no_answer():
    assert graded("exact", "sad", item(label="sad")).passed
    assert graded("contains", "It is SAD.", item(label="sad")).passed
    assert graded("choice", "<answer>sad</answer>", item(label="sad")).passed


@pytest.mark.parametrize("name", REFERENCED)
@pytest.mark.parametrize("example", [item(), item("  "), item(label=" ")])
def test_an_item_without_a_reference_is_an_error_and_not_a_zero(name, example):
    assert graded(name, "anything", example).error_type == "no_reference"


@pytest.mark.parametrize(
    ("reference", "text", "right"),
    [
        ("Rome", "the answer is rome.", True),
        ("Rome", "the  answer is\nROME", True),
        ("New York", "in new\n york!", True),
        ("Rome", "Romeo", False),
        ("Rome", "Jerome", False),
        ("Rome", "rome_2", False),
        ("12", "it is 12.", True),
        ("12", "it is 12, or so", True),
        ("12", "(12)", True),
        ("12", "112", False),
        ("12", "121", False),
        ("12", "3.12", False),
        ("12", "12.5", False),
        ("12", "12,000", False),
        ("12", "-12", False),
        ("12", "is \u221212", False),
        ("12", "7-12", True),
        ("12", "$12", True),
        ("-12", "it is -12", True),
        ("12", "112 and 12", True),
        ("ماه", "این ماه است", True),
        ("ماه", "ماه\u200cمن", False),
        ("رود", "می‌رود", False),
        ("کار", "کاربر", False),
        ("۱۲", "۱۱۲", False),
        ("क", "कि", False),
        ("東京", "答えは東京です", True),
        ("서울", "서울은", True),
        ("a+b", "is a+b?", True),
        ("?", "what?", True),
    ],
)
def test_contains_looks_for_whole_words_and_whole_numbers(reference, text, right):
    assert graded("contains", text, item(reference)).passed is right


@settings(deadline=None, max_examples=100)
@given(st.text(alphabet="ab1. -", min_size=1, max_size=4), st.text(alphabet="ab1. -,", max_size=12))
def test_a_phrase_between_line_borders_is_always_found(phrase, text):
    assert stands_in(phrase, f"{text} | {phrase} | {text}")
    assert not stands_in(phrase, "")


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("<answer>B</answer>", True),
        ("<answer>A</answer> no: <answer> B\n</answer>", True),
        ("<answer>B</answer> no: <answer>A</answer>", False),
        ("<answer>b</answer>", False),
        ("B", False),
        ("<answer>B", False),
        ("</answer><answer>B", False),
        ("<answer></answer>", False),
        ("<answer>A <answer>B</answer>", True),
    ],
)
def test_choice_takes_the_last_closed_tag(text, right):
    assert graded("choice", text, item("<reasoning>x</reasoning>\n<answer>B</answer>")).passed is right
    assert graded("choice", text, item("B")).passed is right


TWO = 'Action: f\nAction Input: {"a": 1, "b": {"c": [1]}}\nAction: g\nAction Input: {"d": "x"}'


@pytest.mark.parametrize(
    ("text", "right", "explanation"),
    [
        (TWO, True, "same actions"),
        ('Thought: hm\nAction:  g\nAction Input:{"d":"x"}\nAction: f\nAction Input: {"b":{"c":[1.0]},"a":1}', True, ""),
        ('Action: f\nAction Input: {"a": 1, "b": {"c": [1]}, "d": "x"}\nAction: g', True, "same actions"),
        (TWO.replace("Action: g", "Action: h"), False, 'wrong actions: "f, h", not "f, g"'),
        (TWO + "\nAction: g", False, "wrong actions"),
        (TWO.replace('"x"', '"y"'), False, 'right actions, wrong input: "d"'),
        (TWO.replace('"a": 1', '"a": true'), False, 'right actions, wrong input: "a"'),
        (TWO.replace('"a": 1', '"a": "1"'), False, 'right actions, wrong input: "a"'),
        (TWO.replace('{"d": "x"}', '{"d": NaN}'), False, 'right actions, wrong input: "d"'),
        (TWO.replace('{"d": "x"}', '{"d": "x"'), False, 'right actions, wrong input: "d"'),
        ("I would rather not.", False, 'no "Action:" line'),
    ],
)
def test_actions_compares_names_as_a_multiset_and_inputs_merged(text, right, explanation):
    score = graded("actions", text, item(TWO))
    assert score.passed is right
    assert score.explanation.startswith(explanation)


def test_actions_needs_a_reference_in_its_notation():
    assert graded("actions", TWO, item("hello")).error_type == "no_reference"


ARGUMENTS = '{"minutes": 42, "loud": true, "to": ["a", "b"]}'
CALL = f'{{"name": "set_timer", "arguments": {ARGUMENTS}}}'
CALLS = (ToolCall("set_timer", '{"to": ["a", "b"], "loud": true, "minutes": 42}', "c1"),)
WAYS = [
    CALL,
    "  " + CALL + "\n",
    "Sure [1], {ok}: " + CALL + " Done.",
    f"```json\n{CALL}\n```",
    f"<tool_call>\n{CALL}\n</tool_call>",
    f"<think>call {{}} or {CALL.replace('42', '1')}?</think>\n\n<tool_call>{CALL}</tool_call>",
    "<|python_tag|>" + CALL.replace("arguments", "parameters"),
    f"[{CALL}]",
    f"[TOOL_CALLS] [{CALL}]",
    f"[TOOL_CALLS]set_timer[ARGS]{ARGUMENTS}",
    f"<function=set_timer>{ARGUMENTS}</function>",
    '{"type": "function", "id": "c", "function": ' + CALL + "}",
    '{"content": null, "tool_calls": [{"function": ' + CALL + "}]}",
    '{"name": "set_timer", "arguments": "{\\"minutes\\": 42.0, \\"loud\\": true, \\"to\\": [\\"a\\", \\"b\\"]}"}',
    "set_timer(minutes=42, loud=True, to=['a', 'b'])",
    "[set_timer(minutes=42, loud=true, to=('a', 'b'))]",
    '```python\nset_timer(to=["a", "b"], minutes=42, loud=True)\n```',
]


@pytest.mark.parametrize("text", WAYS)
@pytest.mark.parametrize("example", [item(calls=CALLS), item(CALL, tools=TOOLS)])
def test_a_tool_call_is_read_in_the_notation_of_every_family(text, example):
    score = graded("tool_call_match", text, example)
    assert (score.passed, score.explanation) == (True, "the same call")


@pytest.mark.parametrize(
    ("text", "explanation"),
    [
        (CALL.replace("set_timer", "set_alarm"), 'wrong tool: "set_alarm", not "set_timer"'),
        (CALL.replace('"minutes": 42, ', ""), 'missing argument of "set_timer": "minutes"'),
        (CALL.replace("{", '{"x": 1, ', 2).replace('{"x": 1, ', "{", 1), 'extra argument of "set_timer": "x"'),
        (CALL.replace("42", "43"), 'wrong argument "minutes": "43", not "42"'),
        (CALL.replace("42", '"42"'), 'wrong argument "minutes"'),
        (CALL.replace("true", "1"), 'wrong argument "loud": "1", not "true"'),
        (CALL.replace('"a", "b"', '"b", "a"'), 'wrong argument "to"'),
        (f"{CALL}\n{CALL}", "wrong number of calls: 2, not 1"),
        (CALL[:-1], "unparsable: no tool call in"),
        (CALL.replace("42", "NaN"), "unparsable: no tool call in"),
        ("set_timer(minutes=", "unparsable: no tool call in"),
        ("set_timer", "unparsable: no tool call in"),
        ("set_timer(**{'a': 1})", "unparsable: no tool call in"),
        ("[set_timer(minutes=42), 3]", "unparsable: no tool call in"),
        ('{"name": "set_timer", "arguments": [1]}', "unparsable: no tool call in"),
        ('{"name": "set_timer"}', "unparsable: no tool call in"),
        ("", "unparsable: no tool call in"),
    ],
)
def test_a_wrong_tool_call_is_told_how(text, explanation):
    score = graded("tool_call_match", text, item(calls=CALLS))
    assert (score.passed, score.error_type) == (False, None)
    assert score.explanation.startswith(explanation)


def test_several_calls_come_in_any_order():
    two = (*CALLS, ToolCall("stop", ""))
    stop = '{"name": "stop", "arguments": {}}'
    assert graded("tool_call_match", f"{stop}{CALL}", item(calls=two)).explanation == "the same calls"
    score = graded("tool_call_match", f"{stop}{CALL.replace('42', '1')}", item(calls=two))
    assert score.explanation == 'wrong argument "minutes": "1", not "42"'
    score = graded("tool_call_match", f"{stop}{stop}", item(calls=two))
    assert score.explanation == 'wrong tool: "stop", not "set_timer"'


def test_several_calls_come_in_the_exact_order_where_that_is_asked_for():
    two = item(calls=(*CALLS, ToolCall("stop", "")))
    stop, exact = '{"name": "stop", "arguments": {}}', '{"type": "tool_call_match", "order": "exact"}'
    assert graded(exact, f"{CALL}{stop}", two).explanation == "the same calls"
    score = graded(exact, f"{stop}{CALL}", two)
    assert (score.passed, score.explanation) == (
        False,
        'wrong order of calls: "stop, set_timer", not "set_timer, stop"',
    )
    assert graded(exact, f"{stop}{stop}", two).explanation == 'wrong tool: "stop", not "set_timer"'
    assert grader(exact).spelled() != grader("tool_call_match").spelled() == "tool_call_match"
    assert grader({"type": "tool_call_match", "order": "any"}).spelled() == "tool_call_match"
    with pytest.raises(ConfigError, match="'any' or 'exact'"):
        grader({"type": "tool_call_match", "order": "some"})


BERKELEY = [
    {"area": {"base": [10], "height": [5], "unit": ["units", ""], "at": ["5 p.m.", "17:00", ""]}},
    {"hr.find": {"where": [{"school": ["Bluebird HS", "Bluebird High School"], "since": [1990, ""]}],
                 "order": [["name", "age"], ["age", "name"]], "by": ["lambda x: x**2"], "fair": [True]}},
]  # fmt: skip


def allowed(*calls):
    return Example("x", (Message("user", "q"),), columns={"ground_truth": list(calls)})


FIND = 'hr.find(where={"school": "bluebird hs"}, order=["age", "name"], by=lambda x: x ** 2, fair=True)'


@pytest.mark.parametrize(
    ("text", "calls", "explanation"),
    [
        ("area(base=10, height=5)", BERKELEY[:1], "the same call"),
        ("area(base=10.0, height=5, unit='Units', at='5 PM')", BERKELEY[:1], "the same call"),
        (FIND, BERKELEY[1:], "the same call"),
        (FIND.replace('"school"', '"since": 1990, "school"'), BERKELEY[1:], "the same call"),
        (f"[area(height=5, base=10), {FIND}]", BERKELEY, "the same calls"),
        (f"[{FIND}, area(height=5, base=10)]", BERKELEY, "the same calls"),
        ("[f(x=1), f(x=2)]", [{"f": {"x": [1, 2]}}, {"f": {"x": [1]}}], "the same calls"),
        ("[f(x=2), f(x=1)]", [{"f": {"x": [1, 2]}}, {"f": {"x": [1]}}], "the same calls"),
        ("area(base=10)", BERKELEY[:1], 'missing argument of "area": "height"'),
        ("area(base='10', height=5)", BERKELEY[:1], 'wrong argument "base": ""10"", not "10"'),
        ("area(base=10, height=5, at='18:00')", BERKELEY[:1], 'wrong argument "at": ""18:00"", not ""5 p.m."" or'),
        ("area(base=10, height=5, x=1)", BERKELEY[:1], 'extra argument of "area": "x"'),
        ("volume(base=10)", BERKELEY[:1], 'wrong tool: "volume", not "area"'),
        (FIND.replace("True", "1"), BERKELEY[1:], 'wrong argument "fair"'),
        (FIND.replace('"school"', '"town"'), BERKELEY[1:], 'wrong argument "where"'),
        (FIND.replace('["age", "name"]', '["age"]'), BERKELEY[1:], 'wrong argument "order"'),
        (FIND, BERKELEY, "wrong number of calls: 1, not 2"),
        ("[f(x=2), f(x=2)]", [{"f": {"x": [1, 2]}}, {"f": {"x": [1]}}], 'wrong argument "x"'),
        ("no call", BERKELEY[:1], "unparsable"),
    ],
)
def test_the_berkeley_ground_truth_gives_alternatives(text, calls, explanation):
    score = graded("tool_call_match", text, allowed(*calls))
    assert score.passed is explanation.startswith("the same")
    assert score.explanation.startswith(explanation)


@pytest.mark.parametrize("other", ["42", [], ["f"], [{"f": {"x": 1}}], [{"f": {"x": []}}], [{"f": 1}], [{}], {"f": {}}])
def test_a_ground_truth_of_another_form_is_another_column(other):
    example = Example("x", item(CALL).messages, columns={"ground_truth": other})
    assert graded("tool_call_match", CALL, example).passed
    alone = Example("x", (Message("user", "q"),), columns={"ground_truth": other})
    assert graded("tool_call_match", CALL, alone).error_type == "no_reference"
    assert grader("tool_call_match").lacking(alone) == "has no answer to compare with"
    assert grader("tool_call_match").lacking(example) is None
    assert grader("tool_call_match").lacking(allowed(*BERKELEY)) is None
    assert grader("tool_call_match").columns() == {"ground_truth"}


def test_calling_nothing_is_right_where_tools_are_offered_and_none_is_wanted():
    example = item("which city do you mean?", tools=TOOLS)
    assert graded("tool_call_match", "what do you mean?", example).passed
    assert not graded("tool_call_match", CALL, example).passed
    assert graded("tool_call_match", CALL, item("hello")).error_type == "no_reference"


def test_a_reference_that_cannot_be_read_is_an_error():
    broken = item(calls=(ToolCall("f", "{"),))
    assert graded("tool_call_match", CALL, broken).error_type == "no_reference"


@pytest.mark.parametrize(
    ("one", "other", "right"),
    [
        ("shop.find(city=Rome)", "shop.find(city=Rome)", True),
        ("shop.find(city=Rome)", "shop.find(city=Milan)", False),
        ("shop.find(city=Rome)", "shop.find(city='Rome')", False),
        ("shop.find('a', 2)", "shop.find('a', 2)", True),
        ("shop.find('a', 2)", "shop.find(2, 'a')", False),
        ("shop.find(x=null)", "shop.find(x=None)", True),
        ("shop.find(x={'k': [1]})", "shop.find(x={'k': [1.0]})", True),
        ("shop.find(x={1, 2})", "shop.find(x={1, 2})", True),
        ("shop.find(x=other.call(1))", "shop.find(x=other.call(1))", True),
        ("shop.find(x=2**3)", "shop.find(x=8)", False),
    ],
)
def test_python_calls_are_parsed_and_never_run(one, other, right):
    assert graded("tool_call_match", one, item(other)).passed is right


HOSTILE = {
    "open objects": '{"a":' * 50_000,
    "open lists": "[" * 100_000,
    "closed lists": "[" * 5_000 + "]" * 5_000,
    "nested call": '{"name": "f", "arguments": ' + '{"a":' * 500 + "1" + "}" * 501,
    "unclosed with a long tail": '{"a":[1' * 150 + ",1" * 50_000,
    "NaN": CALL.replace("42", "NaN"),
    "infinity": CALL.replace("42", "1e999"),
    "a giant integer": CALL.replace("42", "9" * 5_000),
    "half a surrogate": '{"name": "\\ud800", "arguments": {"\\udfff": "\ud800"}}',
    "half surrogates": "\ud800" * 100,
    "control characters": "\0\x01\x1b[2J" * 100,
    "open parentheses": "f(" + "(" * 10_000,
    "minus signs": "f(" + "-" * 10_000 + "1)",
    "dots": "f" + ".f" * 5_000 + "(1)",
    "sums": "f(" + "1+" * 5_000 + "1)",
    "powers": "f(x=9**9**9**9)",
    "odd escapes": "f(x='\\d')",
    "a call that would delete": "__import__('os').system('exit 1')",
    "keys that are no text": "f(x={1: 2, None: 3, (1, 2): 4})",
    "many tags": "<answer>" * 20_000 + "</answer>" * 20_000,
    "many function tags": "<function=" * 20_000,
    "many actions": 'Action: f\nAction Input: {"a": [' * 5_000,
    "white space": "Action:" + " " * 100_000,
    "a long word": "x" * 1_000_000,
    "bidirectional marks": "\u202e12\u202c",
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", REFERENCED)
def test_hostile_answers_are_wrong_and_nothing_breaks(name, kind):
    reference = {"actions": TWO, "tool_call_match": CALL}.get(name, "12345")
    score = graded(name, HOSTILE[kind], item(reference))
    assert (score.passed, score.error_type) == (False, None)
    score.explanation.encode()  # it will be stored
    assert len(score.explanation) < 500


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(REFERENCED),
    st.text(alphabet=st.characters(), max_size=40)
    | st.text(alphabet='{}[]":,<>/()=actionANSWER 019.-\\\ud800', max_size=60),
    st.text(max_size=20),
)
def test_no_text_breaks_a_grader(name, text, reference):
    for example in (item(reference), item(label=reference), item(text, tools=TOOLS)):
        score = grader(name)(said(text), example)
        assert score.value in (0.0, 1.0)
        assert score.error_type in (None, "no_reference")
        score.explanation.encode()


@settings(deadline=None, max_examples=80)
@given(st.text(min_size=1, max_size=30).filter(str.strip))
def test_the_reference_itself_is_always_right(text):
    assert grader("exact")(said(text), item(text)).passed
    assert grader("contains")(said(text), item(text)).passed
    text = text.replace("<", "")
    assert grader("choice")(said(f"<answer>{text}</answer>"), item(label=f"<answer>{text}</answer>")).passed


def test_a_grader_that_fails_makes_the_item_ungradable():
    from holdfast.graders.parametrised import Plain

    def broken(completion, example):
        return 1 / 0

    score = Plain.of("broken", broken)(said("x"), item("x"))
    assert (score.error_type, score.explanation) == (
        "grader_failed",
        "broken failed: ZeroDivisionError: division by zero",
    )


def test_an_unknown_grader_is_an_error_with_the_nearest_name():
    with pytest.raises(ConfigError, match="Did you mean 'contains'"):
        grader("contain")
    with pytest.raises(ConfigError, match="There are: actions, choice"):
        grader("zzz")


@pytest.mark.parametrize(
    ("name", "num_readable"),
    [("sdft_openfunction/train.jsonl.gz", 2208), ("sdft_openfunction/test.jsonl.gz", 112)],
)
def test_real_function_calls_match_themselves(shared_data, name, num_readable):
    import gzip
    import json

    lines = gzip.decompress((shared_data / name).read_bytes()).decode().splitlines()
    answers = [json.loads(line)["output"] for line in lines]
    scores = [grader("tool_call_match")(said(answer), item(answer)) for answer in answers]
    assert sum(score.passed for score in scores) == num_readable
    assert all(score.passed or score.error_type == "no_reference" for score in scores)


def test_the_papers_own_test_items_match_themselves(shared_data):
    import gzip
    import json

    text = gzip.decompress((shared_data / "sdft_tooluse" / "eval_97.jsonl.gz").read_bytes()).decode()
    for line in text.splitlines():
        golden = json.loads(line)["golden_answer"]
        answer = "\n".join(f"Action: {step['Action']}\nAction Input: {step['Action_Input']}" for step in golden)
        assert graded("actions", f"Thought: let me see.\n{answer}", item(answer)).passed
        assert not graded("actions", f"{answer}\nAction: another", item(answer)).passed


@pytest.mark.parametrize("name", ["simple_python", "multiple"])
def test_real_berkeley_items_allow_their_first_alternatives_and_no_others(shared_data, name):
    import gzip
    import json

    def first(value):
        if isinstance(value, dict):
            return {key: first(values[0] if isinstance(values, list) else values) for key, values in value.items()}
        return [first(one) for one in value] if isinstance(value, list) else value

    text = gzip.decompress((shared_data / "bfcl_v4" / f"{name}.jsonl.gz").read_bytes()).decode()
    for row in map(json.loads, text.splitlines()):
        calls = [
            {
                "name": function,
                "arguments": {key: first(values[0]) for key, values in arguments.items() if values[0] != ""},
            }
            for one in row["ground_truth"]
            for function, arguments in one.items()
        ]
        example = allowed(*row["ground_truth"])
        score = graded("tool_call_match", json.dumps(calls), example)
        assert score.passed, (row["id"], score.explanation)
        calls[0]["arguments"]["no such argument"] = 1
        assert not graded("tool_call_match", json.dumps(calls), example).passed
