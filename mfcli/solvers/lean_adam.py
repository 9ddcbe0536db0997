"""The optimizer of ``adam``."""

import inspect
from typing import Any

import torch


class LeanAdam(torch.optim.Adam):
    """torch's Adam without the import of torch's compiler, which takes 2 s and which nothing here uses.

    Two kinds of decorators import the compiler when a method is called. That of ``step`` is avoided by calling the
    method beneath it. That of the others (``torch._compile``) does not import where the method already has the mark
    that the compiler would leave on it; so the mark is set here.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        for method in vars(torch.optim.Optimizer).values():
            if hasattr(method, "__wrapped__"):
                method.__wrapped__.__dict__["__dynamo_disable"] = method.__wrapped__
        super().__init__(*arguments, **options)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        return inspect.unwrap(torch.optim.Adam.step)(self, closure)
