"""The processes of a benchmark."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import measuring
from processes import is_running

SCRIPT = """
import os, sys, time
sys.path.insert(0, {folder!r})
from measuring import start_pool
if __name__ == "__main__":
    with start_pool(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 60)
        time.sleep(60)
"""


def test_the_processes_of_a_pool_end_with_a_benchmark_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "benchmark.py"
    folder = str(Path(measuring.__file__).parent)
    script.write_text(SCRIPT.format(folder=folder))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as benchmark:
        assert benchmark.stdout is not None
        worker = int(benchmark.stdout.readline())
        assert is_running(worker)
        os.kill(benchmark.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while is_running(worker):
        assert time.monotonic() < deadline
        time.sleep(0.05)
