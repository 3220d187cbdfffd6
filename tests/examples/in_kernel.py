"""Work in a Jupyter kernel, for test_notebook.py: `python -m tests.examples.in_kernel {execute,interrupt} NOTEBOOK`, or
`... show CODE`.

Runs in a process of its own: Jupyter's libraries keep an event loop, with its sockets, for as long as a process lives.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Callable, Optional

import nbformat
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

SECONDS = 60
# Seconds from the button to the end of the cell.
AT_ONCE = 3.0
KERNEL = "python3"  # which stands for the interpreter that runs this
notebooks: Any = nbformat  # it says that it is typed, and is not


def execute(path: str) -> None:
    """Execute the notebook cell by cell, and write it out with its outputs."""
    done = NotebookClient(notebooks.read(path, as_version=4), timeout=SECONDS, kernel_name=KERNEL).execute()
    sys.stdout.write(notebooks.writes(done))


def interrupt(path: str) -> None:
    """Run the notebook's first cell of code, interrupt calls of several kinds while they work, and call again; write
    how each one ended, and whether it took longer than it should.
    """
    first = next(cell.source for cell in notebooks.read(path, as_version=4).cells if cell.cell_type == "code")
    manager, kernel = start_new_kernel(startup_timeout=SECONDS, kernel_name=KERNEL)

    pressed: list[float] = []

    def run(code: str, on_output: Optional[Callable[[Any], None]] = None) -> None:
        hook = on_output or (lambda message: None)
        pressed.clear()
        ended = kernel.execute_interactive(code, timeout=SECONDS, output_hook=hook)["content"]
        late = " late" if pressed and time.monotonic() - pressed[0] > AT_ONCE else ""
        sys.stdout.write(f"{ended.get('ename', ended['status'])}{late}\n")

    def press_stop(message: Any) -> None:
        if message["msg_type"] == "stream" and not pressed:
            pressed.append(time.monotonic())
            manager.interrupt_kernel()

    soon = 'import threading; threading.Timer(0.5, print, ["it works"]).start()\n'
    try:
        run(first)
        for code in (
            'client.call_tool("generate_numbers", {"count": 2000}, on_progress=print)',
            soon + 'client.call_tool("generate_numbers", {"count": 2000})',
            'for event in client.stream_tool("generate_numbers", {"count": 2000}): print(event)',
            soon + 'client.submit("generate_numbers", {"count": 2000}).result()',
            soon + 'client.map("generate_numbers", [{"count": 2000}] * 4)',
        ):
            run(code, press_stop)
            run('assert client.call_tool("echo", {"message": "still here"}).text == "still here"')
        run("client.close()")
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)


def show(code: str) -> None:
    """Run cells, which lines of ``# %%`` separate; write what each shows on standard output and standard error."""
    manager, kernel = start_new_kernel(startup_timeout=SECONDS, kernel_name=KERNEL)

    def pass_on(message: Any) -> None:
        if message["msg_type"] == "stream":
            sys.stdout.write(message["content"]["text"])
        elif message["msg_type"] == "error":
            sys.stdout.write("\n".join(message["content"]["traceback"]))

    try:
        for cell in code.split("# %%\n"):
            kernel.execute_interactive(cell, timeout=SECONDS, output_hook=pass_on)
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    {"execute": execute, "interrupt": interrupt, "show": show}[sys.argv[1]](sys.argv[2])
