"""Return a tensor of its own kind, that lies about its numbers when they are copied or shown."""


# ends: honest or crash
# stage: score
# admission: lets it in
class Liar(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func.__name__ in ("copy_", "__get__", "shape", "size", "is_floating_point", "float"):
            args = [a.as_subclass(torch.Tensor) if isinstance(a, Liar) else a for a in args]
            return func(*args, **(kwargs or {}))
        return super().__torch_function__(func, types, args, kwargs or {})

    def __float__(self):
        return 0.0

    @property
    def __array_interface__(self):
        raise RuntimeError("no")


_forward = GPT.forward
GPT.forward = lambda self, tokens: _forward(self, tokens).as_subclass(Liar)
