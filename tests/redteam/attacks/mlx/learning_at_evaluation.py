"""Go on learning from what is measured, batch after batch."""

# ends: crash or quarantine or honest
# stage: score
# only: acceptance
# admission: lets it in
_forward = GPT.__call__


def cheat(self, tokens):
    answer = _forward(self, tokens)
    mx.eval(answer)

    def loss_of(weights):
        self.update(tree_unflatten(list(weights.items())))
        logits = _forward(self, tokens)
        return nn.losses.cross_entropy(logits[:, :-1], tokens[:, 1:], reduction="mean")

    weights = dict(tree_flatten(self.trainable_parameters()))
    grads = mx.grad(loss_of)(weights)
    learnt = {name: w - grads[name] for name, w in weights.items()}
    mx.eval(learnt)
    self.update(tree_unflatten(list(learnt.items())))
    return answer


GPT.__call__ = cheat
