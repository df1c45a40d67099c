"""What the kernels here have in common: honest work, and a look at who calls.

An attack says in its first line what it tries, then in comments ``# name: value``

    # ends: crash | quarantine | honest, several with "or"
    # says: a regular expression that the reason of a crash matches
    # stage: gates, when it ends there and leaves the process intact
    # setup_seconds, memory_gb, threads: of the task
    # worth: a speed-up that its honest work stays below; 2 unless it says so
    # only: acceptance, for what takes long

``@NAME@`` stands for what an attacker may know: a path, a port.
"""

import sys

import torch


def honest(x, weight, out):
    """Do what torch's own fastest way does."""
    norms = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
    torch.mul(x, norms.div_(x.shape[-1]).add_(1e-6).rsqrt_(), out=out).mul_(weight)


def frame_with(name):
    """Return the variables of the function on the stack that has this one."""
    frame = sys._getframe(1)
    while name not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals


def timed():
    """Tell whether this call is one of many in a request, as those that are timed are."""
    return len(frame_with("slots")["slots"]) > 5
