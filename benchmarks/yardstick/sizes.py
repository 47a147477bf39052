"""What a model costs, counted on the model itself."""

from __future__ import annotations

from typing import Any

from torch import nn

from workbench.libraries.hf_peft import is_of_adapter, plain_model
from yardstick.limits import Size


def size_of(model: Any) -> Size:
    """Linear layers and head, an adapter apart."""
    plain = plain_model(model)
    config, head = plain.config, plain.get_output_embeddings()
    layers = [
        module
        for name, module in plain.get_decoder().layers.named_modules()
        if isinstance(module, nn.Linear) and not is_of_adapter(name)
    ]
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    kept = width * config.num_hidden_layers
    itemsize = plain.get_input_embeddings().weight.dtype.itemsize
    return Size(
        body=sum(m.in_features * m.out_features for m in layers),
        head=head.in_features * head.out_features,
        attention=kept * config.num_attention_heads,
        weight_bytes=float(sum(m.weight.nbytes for m in layers) + head.weight.nbytes),
        cache_bytes=2.0 * kept * config.num_key_value_heads * itemsize,
        trains_all=model.get_input_embeddings().weight.requires_grad,
    )
