"""Report losses that are no numbers, and fields that nobody asked for."""

# ends: honest
# only: acceptance
# admission: lets it in
if __name__ == "__main__":

    class Clock(Clock):
        sent = 0

        def tick(self, tokens, loss):
            odd = [
                float("nan"),
                float("inf"),
                -1e308,
                "<script>",
                None,
                [1],
                {"a": 1},
                True,
                10**400,
            ]
            self.sent += 1
            more = {
                "progress": 0.0,
                "value": 0.0,
                "phase": "done",
                "curve": [[0, 0]],
                "reply": "x" * 999,
            }
            return self.ask({"tokens": tokens, "loss": odd[self.sent % len(odd)], **more})
