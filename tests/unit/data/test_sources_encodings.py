"""Bytes in every encoding: what a file is in is found and said, and a bad row never changes the others."""

import gzip
import random

import pytest

from holdfast.data.rejected import Rejected
from holdfast.data.sources import stream
from holdfast.data.sources.encodings import likeliest, other_encoding

TEXTS = {
    "cp1250": "Zażółć gęślą jaźń\nDziękuję bardzo za szybką odpowiedź\nProszę o zwrot pieniędzy",
    "cp1251": "Здравствуйте, я хочу вернуть товар\nСпасибо за быстрый ответ",
    "cp1252": "café au lait\nschöne Grüße\nNaïve façade",
    "cp1253": "Γεια σας, θέλω να επιστρέψω το προϊόν\nΕυχαριστώ για την απάντηση",
    "cp1254": "Merhaba, ürünü iade etmek istiyorum\nHızlı cevabınız için teşekkürler, çok sağ olun",
    "cp1255": "שלום, אני רוצה להחזיר את המוצר\nתודה על התשובה המהירה",
    "cp1256": "سلام، من مي خواهم اين کالا را پس بدهم\nبا تشکر از پاسخ شما",
    "cp932": "こんにちは、返品したいです。\n迅速なお返事ありがとうございます。",
    "cp949": "안녕하세요, 반품하고 싶습니다\n빠른 답변 감사합니다",
    "big5": "您好，我想退貨\n謝謝您的快速回覆",
    "gb18030": "您好，我想退货\n谢谢您的快速回复",
    "koi8_r": "Здравствуйте, я хочу вернуть товар\nСпасибо за быстрый ответ",
}


def read_bytes(tmp_path, content, name="a.csv"):
    path = tmp_path / name
    path.write_bytes(content)
    notes = []
    rows = list(stream([str(path)], notes=notes))
    texts = [item.messages[0].content for item in rows if not isinstance(item, Rejected)]
    return texts, [item for item in rows if isinstance(item, Rejected)], "\n".join(notes)


@pytest.mark.parametrize("encoding", TEXTS)
def test_files_in_other_encodings_are_decoded_and_it_is_said(tmp_path, encoding):
    lines = TEXTS[encoding].split("\n")
    table = "text;label\n" + "".join(f"{line};x\n" for line in lines)
    texts, rejected, said = read_bytes(tmp_path, table.encode(encoding))
    assert (texts, rejected) == (lines, [])
    assert f"it was read as {encoding}" in said


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.csv.gz"])
def test_wide_encodings_are_decoded_with_and_without_a_mark(tmp_path, encoding, name):
    text = 'text,label\n"a whole sentence, with Grüße",x\n'
    if ".json" in name:
        text = '{"text": "a whole sentence, with Grüße", "label": "x"}\n'
    content = text.encode(encoding)
    texts, rejected, said = read_bytes(tmp_path, gzip.compress(content) if name.endswith("gz") else content, name)
    assert (texts, rejected) == (["a whole sentence, with Grüße"], [])
    assert encoding.upper() in said


def test_a_utf8_file_with_bad_rows_stays_utf8(tmp_path):
    rows = [f"Grüße {number},x" for number in range(50)]
    content = b"text,label\n" + b"".join(row.encode() + b"\n" for row in rows)
    content += b"caf\xe9,x\nna\xefve,x\nfa\xe7ade,x\n"
    texts, rejected, said = read_bytes(tmp_path, content)
    assert len(texts) == 50
    assert [item.raw for item in rejected] == ["caf\\xe9,x", "na\\xefve,x", "fa\\xe7ade,x"]
    assert "was read as" not in said


def test_one_bad_row_among_plain_ones_is_a_bad_row(tmp_path):
    content = b"text,label\n" + b"plain,x\n" * 300 + b"caf\xe9,x\n"
    texts, rejected, _ = read_bytes(tmp_path, content)
    assert (len(texts), len(rejected)) == (300, 1)


def test_the_choice_is_made_where_the_first_such_byte_stands(tmp_path):
    plain = b"text,label\n" + (b"x" * 1000 + b",x\n") * 1200
    content = plain + "Grüße aus Köln,x\nschön und größer,x\n".encode("cp1252") * 200
    texts, rejected, said = read_bytes(tmp_path, content)
    assert (len(texts), rejected) == (1600, [])
    assert texts[-1] == "schön und größer"
    assert f"(byte {len(plain) + 3}); it was read as cp1252" in said


def test_a_character_cut_in_two_by_a_block_is_one_character(tmp_path):
    line = "ü" * 999
    content = b"text,label\n" + b"".join(f"{line},x\n".encode() for _ in range(1100))
    texts, rejected, said = read_bytes(tmp_path, content)
    assert (len(texts), rejected, set(texts)) == (1100, [], {line})
    assert "was read as" not in said


def test_one_odd_line_in_a_block_is_rejected_and_the_next_block_may_still_tell_the_encoding(tmp_path):
    before = b"text,label\n" + b"x" * (2**20 - 12)  # the first block ends after the first "ö"
    content = before + "öffnen,x\nGrüße aus Köln,x\nschön und größer,x\n".encode("cp1252") * 9
    texts, rejected, said = read_bytes(tmp_path, content)
    assert (len(texts), [row.line for row in rejected]) == (26, [2])
    assert texts[0] == "Grüße aus Köln"
    assert "it was read as cp1252" in said


def test_garbage_is_text_in_no_encoding():
    random.seed(0)
    found = [other_encoding(b"\n".join(random.randbytes(40) for _ in range(20))) for _ in range(50)]
    assert found == [None] * 50
    assert likeliest(b"") is None


def test_what_a_wide_encoding_cannot_hold_is_one_bad_row(tmp_path):
    half_a_pair = b"\x0a\xd8"  # whose bytes hold a line end
    content = "text,label\ngood,x\nbad".encode("utf-16") + half_a_pair + ",x\nfine,x\n".encode("utf-16-le")
    texts, rejected, _ = read_bytes(tmp_path, content)
    assert texts == ["good", "fine"]
    assert [(item.line, item.kind) for item in rejected] == [(3, "encoding")]
