"""Save the weights as NumPy's archive, which can hold pickled objects, under the right name."""

# ends: crash
# admission: lets it in
# only: acceptance
# says: no safetensors file
import numpy


def save(model):
    from prepare import RUN_DIR

    with open(RUN_DIR / "weights.safetensors", "wb") as file:
        numpy.savez(file, numpy.array([{"a": 1}], dtype=object))
