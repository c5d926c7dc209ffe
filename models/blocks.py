"""One row of a layer table as named torch modules."""

from torch import nn

from models.layers import Activation, Conv, Layer, Linear, Step

DROPOUT = 0.5  # the report's, in both places of the head


def layer_modules(layer: Layer, *, folded: bool) -> list[tuple[str, nn.Module]]:
    """Return the (name, module) pairs of one layer.

    With `folded` no BatchNorm is built: its convolution has absorbed it (`models.compress.folding`). The convolution
    keeps its name either way, so that the parameters of both forms are called the same.
    """
    match layer:
        case Conv():
            return _conv_modules(layer, folded=folded)
        case Linear():
            linear = nn.Linear(layer.inputs, layer.outputs)
            return [(layer.name, linear), *_activation_modules(layer.name, layer.activation)]
        case Step():
            return [(layer.name, _step_module(layer))]


def _conv_modules(layer: Conv, *, folded: bool) -> list[tuple[str, nn.Module]]:
    conv = nn.Conv2d(layer.inputs, layer.outputs, layer.kernel, padding=layer.kernel // 2, groups=layer.groups)
    modules: list[tuple[str, nn.Module]] = [(layer.name, conv)]
    if layer.norm and not folded:
        modules.append((f"{layer.name}_norm", nn.BatchNorm2d(layer.outputs)))
    if layer.pool:
        modules.append((f"{layer.name}_pool", nn.MaxPool2d(2)))
    return modules + _activation_modules(layer.name, layer.activation)


def _activation_modules(name: str, activation: Activation) -> list[tuple[str, nn.Module]]:
    match activation:
        case "relu":
            return [(f"{name}_act", nn.ReLU(inplace=True))]
        case "relu6":
            return [(f"{name}_act", nn.ReLU6(inplace=True))]
        case "none":
            return []


def _step_module(step: Step) -> nn.Module:
    match step.kind:
        case "global_pool":
            return nn.AdaptiveAvgPool2d(1)
        case "flatten":
            return nn.Flatten()
        case "dropout2d":
            return nn.Dropout2d(DROPOUT)
        case "dropout":
            return nn.Dropout(DROPOUT)
