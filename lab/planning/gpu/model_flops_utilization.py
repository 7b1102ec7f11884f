"""Model FLOPs utilization (Chowdhery et al. 2022, "PaLM", appendix B): FLOPs of training over the peak of the card."""

import re

from models.config import Precision

PEAK_TFLOPS: dict[str, float] = {
    r"NVIDIA B200": 2250,  # HGX B200 datasheet: 36 PFLOPS of bf16 for eight, with sparsity
    r"NVIDIA H200( \d+GB HBM3e)?": 989,  # H200 datasheet: 1,979 with sparsity
    r"NVIDIA GH200 \d+GB": 989,  # GH200 datasheet: 1,979 with sparsity
    r"NVIDIA H200 NVL": 835,  # the same: 1,671 with sparsity
    r"NVIDIA H100( 80GB HBM3| SXM\S*)?": 989,  # H100 datasheet: 1,979 with sparsity
    r"NVIDIA H100 NVL": 835,  # the same: 1,671 with sparsity
    r"NVIDIA H100 PCIe": 756,  # the same: 1,513 with sparsity
    r"(NVIDIA )?A100-(PCIE|SXM4?)-\d+GB|NVIDIA A100 80GB PCIe": 312,  # A100 datasheet
    r"NVIDIA A10": 125,  # A10 datasheet: 250 with sparsity
    r"NVIDIA A40": 149.7,  # A40 datasheet
    r"NVIDIA A30": 165,  # A30 datasheet
    r"NVIDIA RTX A6000": 154.8,  # RTX A6000 datasheet: 309.7 with sparsity
    r"NVIDIA L4": 121,  # L4 datasheet: 242 with sparsity
    r"NVIDIA L40S": 362,  # L40S datasheet
    r"NVIDIA GeForce RTX 5090": 209.5,  # Blackwell whitepaper, with accumulation in fp32
    r"NVIDIA GeForce RTX 4090": 165.2,  # Ada whitepaper, with accumulation in fp32
    r"NVIDIA GeForce RTX 3090": 71,  # GA102 whitepaper, with accumulation in fp32
    r"Tesla V100-SXM2.*": 125,  # V100 datasheet, fp16
    r"Tesla V100-PCIE.*": 112,  # the same
    r"Tesla V100S-PCIE.*": 130,  # the same
    r"(Tesla|NVIDIA) T4": 65,  # T4 datasheet, fp16
}
"""Dense matrix products of the tensor cores in bf16 or fp16, in 10^12 FLOPs a second, by the name that torch gives the card. The
makers' figures with sparsity are halved. A name must match as a whole: a laptop's card, or a part of one, is another."""


def peak_flops(name: str, precision: Precision) -> float | None:
    """FLOPs a second that the card can reach at most; None where that is not known."""
    if precision == "fp32":
        return None
    return next((1e12 * peak for pattern, peak in PEAK_TFLOPS.items() if re.fullmatch(pattern, name)), None)


def utilization(tokens_per_second: float, flops_per_token: float, peak: float | None) -> float | None:
    """Model FLOPs utilization, from 0 to 1; None where the peak is not known."""
    return None if not peak else tokens_per_second * flops_per_token / peak
