"""Operations on real values: which there are, and what each is counted as.

Hybrid networks rectify, normalise by layer, weigh by softmax. Such work is real-valued: a
comparison is counted as one addition, everything else as multiply-accumulates for each output,
of which a transcendental function (an exponential, a square root, an error function) is one.
That is a lower bound: what one takes depends on the hardware.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Comparisons whose result is one of the operands, element by element.
COMPARED: Final = frozenset(
    (
        "relu",
        "relu_",
        "clamp",
        "clamp_",
        "clamp_min",
        "clamp_min_",
        "clamp_max",
        "clamp_max_",
        "hardtanh",
        "hardtanh_",
        "leaky_relu",
        "leaky_relu_",
        "_prelu_kernel",
        "abs",
        "abs_",
        "maximum",
        "minimum",
        "threshold",
        "sign",
        "round",
        "floor",
        "ceil",
        "where",
        "masked_fill",
        "masked_fill_",
    )
)
#: Of these, the ones that leave numbers that are not negative as they are.
KEEPS_SPIKES: Final = frozenset(("relu", "relu_", "abs", "abs_"))
#: Comparisons whose result is true or false: 1 or 0, as a hand-written neuron fires.
FIRES: Final = frozenset(
    (
        "ge",
        "gt",
        "le",
        "lt",
        "eq",
        "ne",
        "logical_and",
        "logical_or",
        "logical_not",
        "logical_xor",
        "bitwise_and",
        "bitwise_or",
        "bitwise_not",
        "heaviside",
    )
)
#: Name → multiply-accumulates of one output.
ELEMENTWISE: Final[Mapping[str, int]] = {
    # exponentials and roots
    **dict.fromkeys(("exp", "exp_", "log", "sqrt", "sqrt_", "rsqrt", "erf", "reciprocal"), 1),
    **dict.fromkeys(("sin", "cos", "pow", "pow_", "square", "log1p", "expm1", "exp2"), 1),
    # an exponential and a division
    **dict.fromkeys(("sigmoid", "sigmoid_", "tanh", "tanh_", "elu", "elu_", "softplus"), 2),
    # those, and a multiplication
    **dict.fromkeys(("silu", "silu_", "gelu", "mish", "log_sigmoid_forward"), 3),
    # piecewise linear
    **dict.fromkeys(("hardsigmoid", "hardswish", "hardswish_"), 2),
    **dict.fromkeys(("div", "div_", "addcmul", "addcdiv", "lerp", "lerp_", "atan", "fmod"), 1),
    # an exponential, a summand of the denominator, a division
    **dict.fromkeys(("_softmax", "_safe_softmax", "_log_softmax"), 3),
}
#: Normalisations that compute their statistics: of an output, a summand of the mean, one of the
#: variance, and the factor and summand that they apply.
NORMALISED: Final = frozenset(
    ("native_layer_norm", "native_group_norm", "_fused_rms_norm", "native_batch_norm")
)
#: Normalisations by statistics that are fixed.
FIXED_NORMS: Final = frozenset(
    ("_native_batch_norm_legit_no_training", "cudnn_batch_norm", "miopen_batch_norm")
)
#: Pooling and resizing: an output is one of the inputs.
PICKED: Final = frozenset(
    (
        "adaptive_max_pool2d",
        "adaptive_max_pool3d",
        "max_pool3d_with_indices",
        "fractional_max_pool2d",
        "amax",
        "amin",
        "max",
        "min",
        "aminmax",
        "argmax",
        "topk",
        "sort",
    )
)
COPIED: Final = frozenset(
    (
        "upsample_nearest1d",
        "upsample_nearest2d",
        "upsample_nearest3d",
        "_upsample_nearest_exact2d",
        "im2col",
        "col2im",
        "reflection_pad1d",
        "reflection_pad2d",
        "replication_pad1d",
        "replication_pad2d",
        "index_select",
        "index",
        "gather",
        "pixel_shuffle",
        "pixel_unshuffle",
        "channel_shuffle",
        "as_strided",
        "native_dropout",
        "unfold",
        "diagonal",
        "cumsum",
    )
)
#: Resizing by weighted sums: name → inputs of one output.
INTERPOLATED: Final[Mapping[str, int]] = {
    "upsample_linear1d": 2,
    "upsample_bilinear2d": 4,
    "_upsample_bilinear2d_aa": 4,
    "upsample_trilinear3d": 8,
    "upsample_bicubic2d": 16,
    "grid_sampler_2d": 4,
}
#: Averages over parts of the spatial axes.
PART_AVERAGES: Final = frozenset(("_adaptive_avg_pool3d", "avg_pool3d", "var", "var_mean", "std"))
#: New memory in the shape of something: nothing of its values.
NEW: Final = frozenset(
    (
        "zeros_like",
        "ones_like",
        "empty_like",
        "full_like",
        "rand_like",
        "randn_like",
        "new_zeros",
        "new_ones",
        "new_empty",
        "new_full",
        "new_empty_strided",
        "bernoulli_",
        "is_nonzero",
        "equal",
        "_local_scalar_dense",
    )
)
#: Products with a parameter, outside a module that is searched.
LINEAR: Final = frozenset(("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot"))
CONVOLUTIONS: Final = frozenset(("convolution", "_convolution", "mkldnn_convolution"))
ATTENTION: Final = frozenset(
    (
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_fused_attention_overrideable",
    )
)
