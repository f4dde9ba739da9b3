"""A signal asks, the job stops where it is safe."""

import os
import signal

import pytest

from holdfast.jobs.interrupt import StopRequested, StopSwitch


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_turns_the_switch_and_the_job_stops_at_its_next_check(number):
    with StopSwitch().listening() as stop:
        stop.check()
        os.kill(os.getpid(), number)
        assert stop.turned
        with pytest.raises(StopRequested) as caught:
            stop.check()
    assert caught.value.exit_code == 128 + number


def test_a_second_interrupt_ends_at_once():
    # A process that a script put into the background ignores SIGINT, and so would what stands here before.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with StopSwitch().listening():
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_former_handlers_are_back_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with StopSwitch().listening():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
