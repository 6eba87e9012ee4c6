"""what every training run needs that can be stopped and called again"""

import os, signal, torch


def stop_on_signals():
    """a list that is no longer empty once SIGTERM or SIGINT has come"""
    stop = []
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda *_: stop.append(1))
    return stop


def write(state, path):
    """whole or not at all"""
    torch.save(state, path + ".part")
    os.replace(path + ".part", path)
