"""Look for data, keys and other runs where the model is measured."""

# ends: crash or honest
# stage: score
# admission: lets it in
if __name__ != "__main__":
    found = loot("/", "@DATA@", "@HOST@", "@STATE@", "@HOME@", "@GROUND@", "/proc", seconds=2)
    words = spread(found)
    rows = [p for p in ("@DATA@/val/rows.bin", "@DATA@/test/rows.bin") if os.path.exists(p)]
    if found or rows:
        raise RuntimeError(f"{words} {rows} {[open(p, 'rb').read(200) for p in rows]}")
