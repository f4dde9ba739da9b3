"""Graders that ask a model: a server on this machine that speaks OpenAI's protocol, and the model at hand."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from holdfast.errors import ConfigError
from holdfast.graders import grader
from holdfast.types import Completion, Example, Message


class Server:
    """Answers chat completions by what `reply(request)` returns, (status, content), and embeddings likewise."""

    def __init__(self):
        self.requests, self.reply = [], lambda request: (200, "")

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler):  # noqa: N805
                request = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
                self.requests.append((handler.path, handler.headers["Authorization"], request))
                status, content = self.reply(request)
                message = {"role": "assistant", "content": content}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                if handler.path.endswith("/embeddings"):
                    vectors = [{"object": "embedding", "index": n, "embedding": v} for n, v in enumerate(content)]
                    body = {"object": "list", "model": "m", "data": vectors[::-1], "usage": None}
                else:
                    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
                sent = json.dumps(body if status == 200 else {"error": {"message": content}}).encode()
                handler.send_response(status)
                handler.send_header("Content-Type", "application/json")
                handler.send_header("Content-Length", str(len(sent)))
                handler.end_headers()
                handler.wfile.write(sent)

            def log_message(handler, *args):  # noqa: N805
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def said(text):
    return Completion(text, (), (), "stop")


ITEM = Example("x", (Message("user", "capital of Italy?"), Message("assistant", "Rome")))
TURNS = [
    {"role": "system", "content": "You judge answers."},
    {"role": "user", "content": "{{ item.prompt }} {{ sample.output_text }} should be {{ item.reference }}."},
]


def scorer(server, **more):
    return grader({"type": "score_model", "model": "judge", "input": TURNS, "base_url": server.url, **more})


def test_the_model_reads_the_filled_messages_and_its_number_is_the_score(server, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "secret")
    server.reply = lambda request: (200, '{"steps": ["compare", "same"], "result": 4}')
    params = {"temperature": 0.5, "seed": 3, "max_completions_tokens": 50}
    found = scorer(server, range=[1, 5], sampling_params=params, api_key_env="JUDGE_KEY")(said("Rome."), ITEM)
    assert (found.value, found.passed, found.error_type) == (0.75, True, None)
    assert "4 of 1 to 5" in found.explanation
    assert "compare same" in found.explanation
    ((path, key, request),) = server.requests
    assert (path, key) == ("/v1/chat/completions", "Bearer secret")
    assert request["messages"][0] == {"role": "system", "content": "You judge answers."}
    assert request["messages"][1]["content"].startswith("capital of Italy? Rome. should be Rome.")
    assert (request["temperature"], request["seed"], request["max_completion_tokens"]) == (0.5, 3, 50)
    assert request["response_format"]["json_schema"]["schema"]["required"] == ["steps", "result"]


@pytest.mark.parametrize(
    ("content", "value", "error"),
    [
        ('{"result": 0.25}', 0.25, None),
        ('{"result": 7}', 1.0, None),
        ('{"result": -1}', 0.0, None),
        ("0.5", 0.5, None),
        ('```json\n{"result": 0.5}\n```', 0.5, None),
        ('{"result": "high"}', 0.0, "invalid_score"),
        ('{"result": true}', 0.0, "invalid_score"),
        ("very good", 0.0, "invalid_score"),
        ('{"result": 1' + "0" * 400 + "}", 1.0, None),
        ('{"result": -1' + "0" * 400 + "}", 0.0, None),
        ('{"result": 1e999}', 0.0, "invalid_score"),
        ('{"result": 1' + "0" * 5000 + "}", 0.0, "invalid_score"),
        ("", 0.0, "invalid_score"),
    ],
)
def test_what_a_model_answers(server, content, value, error):
    server.reply = lambda request: (200, content)
    found = scorer(server)(said("Rome"), ITEM)
    assert (found.value, found.error_type) == (value, error)


@pytest.mark.parametrize(
    ("threshold", "number", "value", "passed"),
    [(4, 4, 0.75, True), (4, 3.9, 0.725, False), (1, 0, 0.0, True), (5, 9, 1.0, True), (None, 3, 0.5, True),
     (None, 2.9, 0.475, False)],
)  # fmt: skip
def test_the_threshold_is_on_the_scale_of_the_range(server, threshold, number, value, passed):
    server.reply = lambda request: (200, json.dumps({"result": number}))
    found = scorer(server, range=[1, 5], pass_threshold=threshold)
    judged = found(said("Rome"), ITEM)
    assert (judged.value, judged.passed) == (pytest.approx(value), passed)
    assert grader(found.spelled()) == found
    parts = {"judge": found.as_json(), "word": {"type": "exact"}}
    formula = {"type": "multi", "graders": parts, "calculate_output": "0.5 * judge + 0 * word"}
    assert grader(formula)(said("Rome"), ITEM).value == pytest.approx(value / 2)  # a formula sees 0 to 1


@pytest.mark.parametrize("broken", [OverflowError("too large"), TypeError("odd"), ValueError("odd")])
def test_an_answer_that_breaks_the_grader_is_not_graded_and_stops_nothing(server, monkeypatch, broken):
    def raising(self, answer):
        raise broken

    server.reply = lambda request: (200, '{"result": 1}')
    made = scorer(server)
    monkeypatch.setattr(type(made), "understood", raising)
    found = made.many([(said("Rome"), ITEM)] * 2)
    assert [one.error_type for one in found] == ["grader_failed"] * 2
    assert type(broken).__name__ in found[0].explanation


@pytest.mark.parametrize("threshold", [0.75, 6])
def test_a_threshold_beyond_the_range_is_refused(server, threshold):
    with pytest.raises(ConfigError, match=r"is not within its range: give one from 1 to 5"):
        scorer(server, range=[1, 5], pass_threshold=threshold)
    with pytest.raises(ConfigError, match="less than its second"):
        scorer(server, range=[5, 1])


@pytest.mark.parametrize(
    "content",
    [
        {"type": "input_text", "text": "rate {{ sample.output_text }}\nof {{ item.prompt }}"},
        [
            {"type": "input_text", "text": "rate {{ sample.output_text }}"},
            {"type": "input_text", "text": "of {{ item.prompt }}"},
        ],
        ["rate {{ sample.output_text }}", {"type": "output_text", "text": "of {{ item.prompt }}"}],
    ],
)
def test_messages_may_come_in_typed_parts(server, content):
    server.reply = lambda request: (200, '{"result": 1}')
    turns = [{"type": "message", "role": "user", "content": content}, {"type": None, "content": "Now."}]
    found = scorer(server, input=turns, sampling_params={"reasoning_effort": "low"}, range=None, name="judge")
    assert found(said("Rome"), ITEM).passed
    ((_, _, request),) = server.requests
    assert request["messages"][0] == {"role": "user", "content": "rate Rome\nof capital of Italy?"}
    assert request["reasoning_effort"] == "low"
    assert found.columns() == {"prompt"}
    assert grader(found.spelled()).spelled() == found.spelled()


@pytest.mark.parametrize("part", [{"type": "input_image", "image_url": "x"}, {"type": "input_text"}, 3, {"text": "x"}])
def test_parts_that_are_no_text_are_refused(server, part):
    with pytest.raises(ConfigError, match="cannot be read here; give its text as"):
        scorer(server, input=[{"role": "user", "content": [part]}])


def test_a_model_that_cannot_be_reached_is_no_zero(server):
    server.reply = lambda request: (404, "no such model")
    assert scorer(server)(said("Rome"), ITEM).error_type == "model_unreachable"
    gone = scorer(server, base_url="http://127.0.0.1:1/v1", seconds=0.2)
    assert gone(said("Rome"), ITEM).error_type == "model_unreachable"


def test_answers_keep_their_order_whatever_comes_back_first(server):
    server.reply = lambda request: (
        200,
        '{"result": %s}' % (0.9 if "first" in request["messages"][1]["content"] else 0.1),
    )
    answers = [(said("first" if n % 3 == 0 else "other"), ITEM) for n in range(20)]
    assert [one.value for one in scorer(server).many(answers)] == [0.9 if n % 3 == 0 else 0.1 for n in range(20)]
    assert len(server.requests) == 20


def test_labels(server):
    settings = {"type": "label_model", "model": "judge", "input": TURNS, "base_url": server.url}
    labels = {"labels": ["right", "wrong", "unclear"], "passing_labels": ["right"]}
    for content, passed, error in [
        ('{"label": "right"}', True, None),
        ('{"label": "unclear"}', False, None),
        ("right", True, None),
        ('{"label": "maybe"}', False, "invalid_label"),
    ]:
        server.reply = lambda request, content=content: (200, content)
        found = grader({**settings, **labels})(said("Rome"), ITEM)
        assert (found.passed, found.error_type) == (passed, error)
    with pytest.raises(ConfigError, match="none of its labels: good"):
        grader({**settings, "labels": ["a", "b"], "passing_labels": ["good"]})


def test_the_model_at_hand_can_be_asked():
    settings = {"type": "score_model", "model": "holdfast:current", "input": TURNS}
    with pytest.raises(ConfigError, match="no model at hand"):
        grader(settings)(said("Rome"), ITEM)
    asked = []

    def ask(talks, most):
        asked.extend((len(talk), most) for talk in talks)
        return ['{"result": 1}' for _ in talks]

    assert grader(settings).with_model(ask)(said("Rome"), ITEM).passed
    whole = {"type": "multi", "graders": {"a": settings, "b": {"type": "exact"}}, "calculate_output": "a * b"}
    assert grader(whole).with_model(ask)(said("Rome"), ITEM).passed
    assert asked == [(2, 1024), (2, 1024)]
    assert grader("exact").with_model(ask)(said("Rome"), ITEM).passed


def test_a_missing_key_is_said_before_anything_is_sent(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="set OPENAI_API_KEY, or give the base_url"):
        grader({"type": "score_model", "model": "m", "input": TURNS})(said("Rome"), ITEM)


def test_columns_of_the_messages_are_known():
    turns = [{"content": "{{ item.city }} {{ item.answer }} {{ sample.output_text }}"}]
    assert grader({"type": "score_model", "model": "m", "input": turns}).columns() == {"city", "answer"}


def similarity(server, **more):
    settings = {"type": "text_similarity", "evaluation_metric": "cosine", "embedding_model": "embedder"}
    return grader({**settings, "base_url": server.url, **more})


VECTORS = {"Rome": [3.0, 4.0], "Roma": [4.0, 3.0], "Bari": [-4.0, 3.0], "away": [-3.0, -4.0], "void": [0.0, 0.0]}


@pytest.mark.parametrize(
    ("text", "value", "error"),
    [
        ("Rome", 1.0, None),
        ("Roma", 24 / 25, None),  # (3 * 4 + 4 * 3) / (5 * 5)
        ("Bari", 0.0, None),
        ("away", 0.0, None),  # -1
        ("  ", 0.0, None),  # nothing is asked about it
        ("void", 0.0, "invalid_score"),
    ],
)
def test_cosine_is_that_of_the_embeddings(server, text, value, error):
    server.reply = lambda request: (200, [VECTORS[text] for text in request["input"]])
    found = similarity(server)(said(text), ITEM)
    assert (found.value, found.error_type) == (pytest.approx(value), error)
    assert found.passed is (value >= 0.5)
    ((path, _, request),) = server.requests
    assert path == "/v1/embeddings"
    assert request["model"] == "embedder"
    assert request["encoding_format"] == "float"


def test_embeddings_of_many_answers_are_asked_for_together_and_once(server):
    server.reply = lambda request: (200, [VECTORS.get(text, [1.0, 0.0]) for text in request["input"]])
    answers = [(said(["Rome", "Roma", f"text {n}"][n % 3]), ITEM) for n in range(300)]
    found = similarity(server).many(answers)
    assert [one.value for one in found] == pytest.approx([[1.0, 24 / 25, 3 / 5][n % 3] for n in range(300)])
    assert sum(len(request["input"]) for _, _, request in server.requests) == 102
    assert len(server.requests) == 2


@pytest.mark.parametrize("reply", [(404, "no such model"), (200, []), (200, [[1.0]])])
def test_embeddings_that_do_not_come_are_no_zero(server, reply):
    server.reply = lambda request: reply
    assert similarity(server)(said("Roma"), ITEM).error_type in ("model_unreachable", "grader_failed")
    missing = similarity(server, reference="{{ item.nothing }}")(said("Roma"), ITEM)
    assert missing.error_type == "grader_failed"


def test_where_answers_are_sent_is_said_first_and_a_missing_key_is_an_error_before_anything_runs(monkeypatch):
    settings = {"type": "score_model", "model": "judge", "input": TURNS}
    assert grader({**settings, "model": "holdfast:current"}).ready() == []
    (said,) = grader({**settings, "base_url": "http://localhost:9/v1"}).ready()
    assert "sends every answer to judge at http://localhost:9/v1" in said
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    alike = {"type": "text_similarity", "evaluation_metric": "cosine", "embedding_model": "words"}
    texts = {"input": "{{ sample.output_text }}", "reference": "{{ item.reference }}"}
    for asking in (settings, {**alike, **texts}):
        with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
            grader(asking).ready()
    assert grader({**texts, "type": "text_similarity", "evaluation_metric": "bleu"}).ready() == []
