"""Why bubblewrap doesn't work on a machine, and what to type there."""

from __future__ import annotations

from pathlib import Path

_CONTAINERS = (".dockerenv", "run/.containerenv", "var/run/secrets/kubernetes.io")


def explain(said: str, root: Path = Path("/")) -> str:
    """Return one line on what most likely keeps bubblewrap from working, and what to do.

    Parameters
    ----------
    said
        The first line that bubblewrap printed, or another account of its failure.
    root
        Where ``proc/``, ``run/`` and ``.dockerenv`` are looked for.
    """
    return f"bubblewrap doesn't work here ({said}): {_cause(said, root)}"


def _cause(said: str, root: Path) -> str:
    def setting(name: str) -> str:
        try:
            return Path(root, "proc/sys", name).read_text(encoding="utf-8").strip()
        except OSError:
            return ""

    contained = any(Path(root, name).exists() for name in _CONTAINERS)
    # A container's own barrier can't be taken down from inside, so it is named first.
    if contained and setting("user/max_user_namespaces") != "0":
        return (
            "this is a container, and those keep programs from making namespaces; start it with "
            "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
            "--security-opt systempaths=unconfined (podman: also --security-opt unmask=ALL; "
            "Kubernetes: seccompProfile Unconfined and procMount Unmasked)"
        )
    if setting("user/max_user_namespaces") == "0":
        return (
            "user namespaces are switched off (user.max_user_namespaces is 0); "
            "type: sudo sysctl -w user.max_user_namespaces=15000"
            + (" on the machine that runs this container" if contained else "")
        )
    if setting("kernel/unprivileged_userns_clone") == "0":
        return (
            "ordinary users may not make user namespaces (kernel.unprivileged_userns_clone is 0); "
            "type: sudo sysctl -w kernel.unprivileged_userns_clone=1"
        )
    if setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor lets only programs with a profile make user namespaces, as in Ubuntu 24.04 "
            "(kernel.apparmor_restrict_unprivileged_userns is 1); type: "
            r"printf 'abi <abi/4.0>,\nprofile bwrap /usr/bin/bwrap flags=(unconfined) { userns, }"
            r"\n' | sudo tee /etc/apparmor.d/bwrap && sudo apparmor_parser -r /etc/apparmor.d/bwrap"
        )
    if _seccomp(root) or "Operation not permitted" in said:
        return (
            "something around this process forbids namespaces, most likely a container's or a "
            "service's filter of system calls; allow clone, unshare and mount there "
            "(docker run --security-opt seccomp=unconfined), or start Jupyter outside of it"
        )
    return "type bwrap --ro-bind / / --unshare-all true in a terminal to see it fail by itself"


def _seccomp(root: Path) -> bool:
    """Tell whether a filter of system calls binds this process."""
    try:
        lines = Path(root, "proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return any(line.split() == ["Seccomp:", "2"] for line in lines)
