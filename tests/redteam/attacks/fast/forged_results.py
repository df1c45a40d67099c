"""Leave files that look like results of the kit's own."""

# ends: honest
# admission: lets it in
import contextlib

LIE = '{"value": 0.0, "phase": "done", "crash": "", "error": "", "quarantine": ""}'

if __name__ == "__main__":
    run = os.environ["RUN_DIR"]
    for place in (run, f"{run}/..", os.environ["CODE_DIR"], f"{run}/../score", f"{run}/score"):
        for name in (
            "score.json",
            "status.json",
            "run.json",
            "rows.npz",
            "rows-0.npz",
            "queue.json",
            "verdict.json",
        ):
            with contextlib.suppress(OSError):
                os.makedirs(place, exist_ok=True)
                open(f"{place}/{name}", "w").write(LIE)
    print(LIE)
    print("bits_per_byte: 0.0", flush=True)
