"""Processes whose threads call end, at once and without a message. Guarantees: `docs/threads.md`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

needs_timer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that interrupts")


def finishes(command: list[str], status: int = 0) -> tuple[str, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout, done.stderr


def succeeds(script: str, status: int = 0) -> tuple[str, str]:
    """Run a script in a process of its own; what it prints, and its errors."""
    return finishes([sys.executable, "-c", textwrap.dedent(script)], status)


BEGIN = """
    import atexit, ctypes, functools, os, signal, sys, threading, time
    from flowgrad.executors._numba import threads
    usleep = (ctypes.CDLL(None) if os.name == "posix" else ctypes.CDLL("kernel32")).usleep
    def call(seconds, aside=False, stop=lambda: None):
        work = functools.partial(usleep, int(seconds * 1e6))  # which holds nothing of this module
        threads.wake(3, work)  # C ignores the helper's number
        threads.run_aside(work, stop) if aside else work()
    call(0.01)
"""
needs_usleep = pytest.mark.skipif(os.name != "posix", reason="needs usleep")


@needs_usleep
@pytest.mark.parametrize("aside", [False, True])
def test_a_process_ends_while_daemon_threads_call(aside: bool) -> None:
    """One in a long call, which is not waited for, and some in many short ones."""
    before = time.monotonic()
    end = f"""
    def often():
        while True:
            call(0.0001, {aside})
    for target, args in ((call, (100, {aside})), (often, ()), (often, ()), (often, ())):
        threading.Thread(target=target, args=args, daemon=True).start()
    time.sleep(0.2)
    print("end")
    """
    assert succeeds(BEGIN + end) == ("end\n", "")
    assert time.monotonic() - before < 60


@needs_usleep
def test_a_process_ends_when_its_threads_have_called() -> None:
    """And what is called by handlers at exit, and by objects that die with the interpreter, is done."""
    end = """
    done = []
    class Last:
        def __del__(self, aside=threads.run_aside, done=done, write=os.write, finalizing=sys.is_finalizing):
            aside(lambda: done.append(1), lambda: None)
            write(1, b"object %d %d\\n" % (len(done), finalizing()))
    def at_exit():
        for aside in (False, True):
            call(0.01, aside)
        os.write(1, b"handler\\n")
    def thread():
        for k in range(20):
            call(0.01)
        os.write(1, b"thread\\n")
    atexit.register(at_exit)
    last = sys.modules["last"] = Last()
    threading.Thread(target=thread).start()
    """
    assert succeeds(BEGIN + end) == ("thread\nhandler\nobject 1 1\n", "")


@needs_usleep
@needs_timer
def test_a_process_ends_after_an_interrupt() -> None:
    end = """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stopped = []
    def work():
        while not stopped:
            usleep(1000)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    threads.run_aside(work, lambda: stopped.append(True))
    """
    errors = succeeds(BEGIN + end, -signal.SIGINT)[1]
    assert errors.count("Traceback") == 1
    assert errors.strip().endswith("KeyboardInterrupt")


def test_asking_starts_none_of_numbas_threads() -> None:
    script = """
        import os
        os.environ["NUMBA_NUM_THREADS"] = "4"
        import numba, numba.np.ufunc.parallel as parallel
        from flowgrad.executors._numba import threads
        assert threads._asked_of_numba() == 4 and not parallel._is_initialized
        numba.set_num_threads(2)
        assert threads._asked_of_numba() == 2
    """
    assert succeeds(script) == ("", "")


def test_the_module_needs_no_numba() -> None:
    script = "import sys, flowgrad.executors._numba.threads as t; t.available(); print('numba' in sys.modules)"
    assert succeeds(script) == ("False\n", "")
