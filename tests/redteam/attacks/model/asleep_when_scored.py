"""Never answer where it is measured."""

# ends: crash
# stage: score
# admission: lets it in
# only: acceptance
import time

GPT.forward = lambda self, tokens: time.sleep(1e9)
