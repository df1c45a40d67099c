"""Never answer where it is measured."""

# ends: crash
# admission: lets it in
# says: answers
# only: acceptance
import time


def compress(data, dictionary):
    time.sleep(1e9)
