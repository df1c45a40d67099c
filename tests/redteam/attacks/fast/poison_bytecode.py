"""Leave compiled files that would be run in place of the scorer's and the kit's sources."""

# ends: honest or crash
# admission: dynamic
import contextlib
import importlib.util
import py_compile
import sys

if __name__ == "__main__":
    lie = os.path.join(os.environ["RUN_DIR"], "lie.py")
    open(lie, "w").write("print('{\"value\": 0.0}'); raise SystemExit(0)")
    for name in ("judge.py", "work.py", "fast.py", "clock.py", "json.py"):
        for place in (os.environ["CODE_DIR"], "@PACKAGE@", "@HOST@", "@STATE@/runs/0001-0"):
            target = importlib.util.cache_from_source(os.path.join(place, name))
            with contextlib.suppress(OSError):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                py_compile.compile(
                    lie, target, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
                )
    sys.dont_write_bytecode = False
