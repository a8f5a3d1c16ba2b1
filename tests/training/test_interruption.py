"""The first Ctrl-C or SIGTERM is a wish; the second one is not."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from telltale.training.interruption import SIGNALS, noted_signals


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_noted_and_the_second_interrupts(number):
    before = signal.getsignal(number)
    with noted_signals() as wants_stop:
        assert not wants_stop()
        signal.raise_signal(number)
        assert wants_stop()
        assert wants_stop(), "it stays noted"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(number) is before


def test_handlers_are_put_back_after_an_error():
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ZeroDivisionError), noted_signals():
        _ = 1 / 0
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_outside_the_main_thread_nothing_changes():
    seen = []

    def work() -> None:
        with noted_signals() as wants_stop:
            seen.extend([wants_stop(), signal.getsignal(signal.SIGTERM)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, signal.getsignal(signal.SIGTERM)]


def test_a_process_ends_its_step_first():
    program = (
        "import time\n"
        "from telltale.training.interruption import noted_signals\n"
        "with noted_signals() as wants_stop:\n"
        "    print('ready', flush=True)\n"
        "    while not wants_stop():\n"
        "        time.sleep(0.01)\n"
        "print('saved')\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.05)
        os.kill(child.pid, signal.SIGTERM)
        assert child.communicate(timeout=60)[0] == "saved\n"
    assert child.returncode == 0
