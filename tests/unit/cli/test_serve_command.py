"""`holdfast serve` refuses what it cannot do before it listens."""

import pytest
from typer.testing import CliRunner

from holdfast.cli.app import app
from holdfast.jobs.workspace import create


@pytest.fixture
def refused(tmp_path):
    create(tmp_path, base="holdfast:tiny")

    def run(*arguments):
        result = CliRunner().invoke(app, ["serve", "--workspace", str(tmp_path), *arguments])
        assert result.exit_code == 2
        return result.stderr

    return run


def test_an_engine_is_one_of_two(refused):
    assert "--engine tgi: choose in-process or vllm" in refused("--engine", "tgi")


@pytest.mark.parametrize("given", [("--vllm-python", "python"), ("--vllm-option", "dtype=float32")])
def test_options_of_vllm_mean_nothing_without_it(refused, given):
    assert f"{given[0]} has no effect without --engine vllm" in refused(*given)


def test_an_option_of_vllm_is_a_key_and_a_value(refused):
    assert "give KEY=VALUE" in refused("--engine", "vllm", "--vllm-option", "dtype")


def test_vllm_that_is_not_there_is_an_error_that_says_how_to_get_it(refused):
    assert "pip install vllm" in refused("--engine", "vllm")
    told = refused("--engine", "vllm", "--vllm-option", "gpu_memory_utilization=0.5", "--vllm-option", "port=1")
    assert "--vllm-option port: Holdfast sets it" in told
