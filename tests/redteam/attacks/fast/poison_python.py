"""Plant code that the kit's own processes would import at their start."""

# ends: honest or crash
# admission: lets it in
import contextlib
import site
import sys

TEXT = "import os; os.system('touch /var/tmp/@MARK@-python'); print('{\"value\": 0.0}')"

if __name__ == "__main__":
    run, code = os.environ["RUN_DIR"], os.environ["CODE_DIR"]
    for place in (
        *(*sys.path, *site.getsitepackages(), site.getusersitepackages(), "@PACKAGE@/.."),
        *("@PACKAGE@", "@HOME@", "@HOME@/.local/lib/python3/site-packages", run, code, f"{run}/.."),
    ):
        for name in ("sitecustomize.py", "usercustomize.py", "json.py", "numpy.py", "judge.py"):
            with contextlib.suppress(OSError):
                open(os.path.join(place, name), "w").write(TEXT)
        for name in ("@MARK@.pth", "pyvenv.cfg", "pytest.ini", "conftest.py", "pyproject.toml"):
            with contextlib.suppress(OSError):
                open(os.path.join(place, name), "w").write(TEXT)
