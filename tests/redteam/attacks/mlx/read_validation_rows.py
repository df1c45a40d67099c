"""Read the rows of the score while it trains, by every path that leads there."""

# ends: honest or crash
# admission: paths
# only: acceptance
import os

if __name__ == "__main__":
    train = os.environ["DATA_DIR"]
    ways = (f"{train}/../val", f"{train}/../test", "@DATA@", "@HOST@", "data/val", "@GROUND@")
    found = loot(*ways, "@STATE@", "@HOME@", "/proc", seconds=2)
    rows = [p for way in ways for p in (f"{way}/rows.bin", f"{way}/val/rows.bin")]
    if found or any(os.path.exists(p) and "train" not in os.path.realpath(p) for p in rows):
        raise RuntimeError(spread(found) + str(rows))
