"""Attention over ragged sequences: one function, one layout, no padding.

Paper: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2. Each backend says what it
takes; the first of BACKENDS that takes a call computes it. On a CPU, neighbours of near-equal
length attend together in training (`grouped`; batches are sorted by length); otherwise those of
equal length do (`stacked`). On a GPU, PyTorch's variable-length kernel takes the offsets
(`varlen`), and FlexAttention the masks and biases that it does not know (`flex`).
"""

from __future__ import annotations

from torch import Tensor

from foretext.core.errors import ConfigError
from foretext.core.layout import Layout
from foretext.core.masks import Causal, Mask
from foretext.nn.attention.bias import Bias
from foretext.nn.attention.call import Backend, Call, Keys
from foretext.nn.attention.flex import FLEX
from foretext.nn.attention.grouped import GROUPED
from foretext.nn.attention.stacked import STACKED
from foretext.nn.attention.varlen import VARLEN
from foretext.nn.dropout import Dropout

BACKENDS = (VARLEN, FLEX, GROUPED, STACKED)


def attend(
    query: Tensor,
    key: Keys,
    value: Keys,
    layout: Layout,
    mask: Mask,
    *,
    bias: Bias | None = None,
    dropout: Dropout | None = None,
    scale: float | None = None,
) -> Tensor:
    """Scaled dot-product attention within each sequence.

    Args:
        query: [tokens, heads, head_size].
        key, value: [keys, heads, head_size]; or, from a cache, one tensor for each of the layout's
            stacks, [count, heads, key_length, head_size].
        layout: of the queries and keys.
        mask: which keys a query sees.
        bias: added to the scores; None is nothing.
        dropout: of the attention weights; None is none.
        scale: factor of the products of queries and keys; None is head_size ** -0.5.

    Returns:
        [tokens, heads, head_size]; rows after the layout's tokens give zeros.

    Raises:
        ConfigError: no backend takes the call.
        ValueError: the mask is of other sequences.
    """
    mask.check(layout)
    if isinstance(mask, Causal) and layout.longest_key <= (mask.window or 0):
        mask = Causal()  # no sequence reaches beyond the window
    call = Call(
        query=query,
        key=key,
        value=value,
        layout=layout,
        mask=mask,
        bias=bias,
        dropout=dropout if dropout is not None and dropout.active else None,
        scale=query.shape[-1] ** -0.5 if scale is None else scale,
    )
    return choose(call).run(call)


def choose(call: Call) -> Backend:
    """The backend that computes the call.

    Raises:
        ConfigError: there is none.
    """
    for backend in BACKENDS:
        if backend.refuses(call) is None:
            return backend
    reasons = "; ".join(f"{name}: {reason}" for name, reason in explain(call))
    raise ConfigError(
        f"no attention backend takes this call ({reasons}); use the masks and biases that "
        "foretext.nn.attention names"
    )


def explain(call: Call) -> list[tuple[str, str | None]]:
    """Every backend's name, in order, and why it does not take the call; None if it does."""
    return [(backend.name, backend.refuses(call)) for backend in BACKENDS]
