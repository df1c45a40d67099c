"""Give files names that break lists, terminals and pages; nest folders without end; lock them."""

# ends: honest or crash
# admission: lets it in
import contextlib

if __name__ == "__main__":
    run = os.environ["RUN_DIR"]
    for name in (
        b"a\nb",
        b"\x1b[2J",
        b"\xff\xfe",
        b"<script>alert(1)",
        b"-rf",
        b"a b'\"",
        b"\r..",
        b"x" * 250,
    ):
        os.close(os.open(os.path.join(os.fsencode(run), name), os.O_CREAT, 0o000))
    os.chdir(run)
    for _ in range(1_500):
        os.mkdir("deep")
        os.chdir("deep")
    os.chdir(os.environ["CODE_DIR"])
    os.mkdir(f"{run}/shut", 0o000)
    with contextlib.suppress(OSError):
        os.chmod(run, 0o500)
        os.mknod(f"{run}/dev", 0o60666, os.makedev(7, 0))
    os.chmod(run, 0o700)
    for name in ("foreign-imports.json", "log.txt"):
        open(f"{run}/{name}", "w").write("[" * 100_000)
