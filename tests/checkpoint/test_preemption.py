import os
import signal
import subprocess
import sys
import threading

import pytest

from keras_lstm.checkpoint.preemption import (
    PreemptionHandler,
    TrainingInterrupted,
)


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_the_first_signal_is_a_request(signum, code, capsys):
    before = signal.getsignal(signum)
    with PreemptionHandler() as preemption:
        preemption.check()
        assert not preemption.requested
        os.kill(os.getpid(), signum)
        assert preemption.requested
        with pytest.raises(TrainingInterrupted) as info:
            preemption.check()
    assert info.value.code == code
    name = signal.Signals(signum).name
    assert info.value.signal_name == name
    assert f"{name}: stopping after this step" in capsys.readouterr().err
    assert signal.getsignal(signum) is before


def test_used_again_it_has_received_nothing(capsys):
    preemption = PreemptionHandler()
    before = signal.getsignal(signal.SIGTERM)
    for _ in range(2):
        with preemption:
            assert not preemption.requested
            preemption.check()
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(TrainingInterrupted):
                preemption.check()
        assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_ends_at_once(first, second):
    code = (
        "import os, sys\n"
        "from keras_lstm.checkpoint.preemption import PreemptionHandler\n"
        "with PreemptionHandler():\n"
        "    for signum in map(int, sys.argv[1:]):\n"
        "        print(signum, flush=True)\n"
        "        os.kill(os.getpid(), signum)\n"
        "    print('still here', flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(int(first)), str(int(second))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(int(first)), str(int(second))]
    assert done.returncode == -second


def test_a_signal_that_stopped_nothing_is_left_to_the_block_around(capsys):
    with PreemptionHandler() as outer:
        with PreemptionHandler() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
            assert inner.requested
            assert not outer.requested
        with pytest.raises(TrainingInterrupted) as info:
            outer.check()
    assert info.value.code == 143


def test_a_signal_that_stopped_a_block_is_not_sent_again():
    def stop_within():
        with PreemptionHandler() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
            inner.check()

    with PreemptionHandler() as outer:
        with pytest.raises(TrainingInterrupted):
            stop_within()
        outer.check()


def test_outside_the_main_thread_nothing_changes():
    before = signal.getsignal(signal.SIGTERM)
    handlers = []

    def work():
        with PreemptionHandler() as preemption:
            handlers.append(signal.getsignal(signal.SIGTERM))
            preemption.check()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [before]
