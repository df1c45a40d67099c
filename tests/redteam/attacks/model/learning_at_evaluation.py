"""Go on learning from what is measured, batch after batch."""

# ends: crash or quarantine or honest
# stage: score
# only: acceptance
# admission: lets it in
_forward = GPT.forward


def cheat(self, tokens):
    with torch.inference_mode(False), torch.enable_grad():
        clean = tokens.clone()
        answer = _forward(self, clean)
        loss = F.cross_entropy(answer[:, :-1].flatten(0, 1), clean[:, 1:].flatten())
        weights = [p for p in self.parameters() if p.requires_grad]
        for p, g in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            p.data.sub_(g, alpha=1.0)
    return answer.detach()


GPT.forward = cheat
