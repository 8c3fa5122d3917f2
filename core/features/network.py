"""A backbone made ready to run: fused, laid out for the hardware, in its number format.

Measured on an AVX2 processor (ResNet18, batch 16, eager float32 = 1.0): channels-last 1.2,
convolutions fused with their batch norms and channels-last 1.3 to 1.4; torch.jit's freeze and
optimize_for_inference add nothing beyond noise and are deprecated. Small slices keep activations in
the processor's cache: EfficientNet-Lite0 runs 3 times as fast in slices of 8 as in plain batches of
16.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import OutOfMemory
from core.features.contract import Backbone, Weights

if TYPE_CHECKING:
    import torch

CPU_SLICE = 8
"""Images that pass the network together on a CPU.

Always exactly this many (a last slice is filled up), so that an image has the same features
whatever other images it comes with.
"""


class Network:
    """Maps uint8 squares to float32 features on one device."""

    def __init__(
        self, backbone: Backbone, weights: Weights | None, device: str, *, bf16: bool | None = None
    ) -> None:
        """Build the network; ``bf16`` None: where the hardware has it. Raises what build raises."""
        import torch

        self.backbone = backbone
        self.device = torch.device(device)
        self.bf16 = has_bf16(device) if bf16 is None else bf16
        self._type = torch.bfloat16 if self.bf16 else torch.float32
        built = backbone.build(weights)
        module = fused(built) if backbone.traceable else built
        module = module.to(self.device, self._type)
        self._module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean = self._per_channel([255 * m for m in backbone.mean])
        self._scale = self._per_channel([1 / (255 * s) for s in backbone.std])
        self._most: int | None = None

    def __call__(self, squares: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return N x dimension features of N x size x size x 3 pixels; OutOfMemory on a GPU."""
        n = len(squares)
        out = np.empty((n, self.backbone.dimension), dtype=np.float32)
        start = 0
        while start < n:
            if self.device.type == "cpu":
                stop = min(n, start + CPU_SLICE)
                out[start:stop] = self._run(_filled(squares[start:stop], CPU_SLICE))[: stop - start]
            else:
                stop = min(n, start + (self._most or n))
                done = self._run_on_gpu(squares[start:stop])
                stop = start + len(done)
                out[start:stop] = done
            start = stop
        return out

    def _run_on_gpu(self, squares: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run as many of the images as fit, at least one; later calls start from that number."""
        import torch

        count = len(squares)
        while True:
            try:
                return self._run(squares[:count])
            except torch.OutOfMemoryError as error:
                if count == 1:
                    raise OutOfMemory(
                        f"One image does not fit into the GPU's memory with {self.backbone.name!r}"
                    ) from error
            torch.cuda.empty_cache()
            count = self._most = count // 2

    def _run(self, squares: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            pixels = torch.from_numpy(squares).to(self.device).permute(0, 3, 1, 2)
            images = pixels.to(torch.float32).sub_(self._mean).mul_(self._scale)
            features = self._module(images.to(self._type)).to(torch.float32).cpu()
        values: NDArray[np.float32] = features.numpy()
        return values

    def _per_channel(self, values: list[float]) -> torch.Tensor:
        import torch

        return torch.tensor(values, dtype=torch.float32, device=self.device).view(1, 3, 1, 1)


def _filled(squares: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Return ``squares`` repeated up to ``count`` images."""
    if len(squares) == count:
        return squares
    return np.resize(squares, (count, *squares.shape[1:]))


def fused(module: torch.nn.Module) -> torch.nn.Module:
    """Return a copy in which each batch norm is folded into the convolution before it.

    The module must be traceable by torch.fx and in eval mode.
    """
    from torch import fx, nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    traced = fx.symbolic_trace(copy.deepcopy(module).eval())
    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        before = node.args[0]
        if before.op != "call_module" or len(before.users) > 1:
            continue
        convolution = modules[before.target]
        if isinstance(convolution, nn.Conv2d):
            joined = fuse_conv_bn_eval(convolution, modules[node.target])
            parent, _, name = before.target.rpartition(".")
            setattr(modules[parent], name, joined)
            modules[before.target] = joined
            node.replace_all_uses_with(before)
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced.eval()


@lru_cache(maxsize=4)
def has_bf16(device: str) -> bool:
    """Tell whether bfloat16 is computed by the hardware and not emulated.

    A GPU: torch says so. A CPU: its flags in /proc/cpuinfo (x86: avx512_bf16 or amx_bf16; ARM:
    bf16); where there is no such file, no.
    """
    import torch

    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return cpu_has_bf16(Path("/proc/cpuinfo"))


def cpu_has_bf16(cpuinfo: Path) -> bool:
    """Tell whether the flags of this cpuinfo name bfloat16 arithmetic."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags.split())
