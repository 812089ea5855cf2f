"""A functional model as a program that can be run on values of any kind."""

import keras

from keras_dd.config import UserError, shown
from keras_dd.recursion import deep


def replay(model, inputs, call):
    """Run the graph of a functional model on `inputs`, with `call` in the place of every operation.

    The values may be anything: Keras tensors (then this builds a network), or the index sets of `shares.py` (then it
    follows them through the network).  Models nested in the model are entered, so `call` sees plain operations only;
    a flag `training` that they are called with goes to the layers in them.

    Args:
        model: a functional or sequential `keras.Model`.
        inputs: one value for each of `model.inputs`.
        call: `call(name, operation, *args, **kwargs)` gives the operation's output; `name` is the operation's name,
            behind those of the models that it is nested in.

    Returns:
        The list of values of `model.outputs`.
    """
    return _replay(model, inputs, call, prefix="", flags={})


def _replay(model, inputs, call, prefix, flags):
    values = {id(tensor): value for tensor, value in zip(_functional(model).inputs, inputs, strict=True)}
    for node in nodes(model):
        args, kwargs = node.arguments.fill_in(values)
        operation, name = node.operation, prefix + node.operation.name
        if getattr(operation, "_call_has_training_arg", False):
            kwargs |= flags
        if isinstance(operation, keras.Model):
            flag = {"training": kwargs["training"]} if kwargs.get("training") is not None else {}
            outputs = _replay(operation, keras.tree.flatten(args or kwargs["inputs"]), call, f"{name}.", flag)
        else:
            outputs = keras.tree.flatten(call(name, operation, *args, **kwargs))
        values.update(zip(map(id, node.outputs), outputs, strict=True))
    return [values[id(tensor)] for tensor in model.outputs]


def _functional(model):
    """The model itself, or the functional one inside a sequential model."""
    if not isinstance(model, keras.Model):
        raise UserError(f"{shown(model)} is no network: give a functional or sequential keras.Model")
    functional = model._functional if isinstance(model, keras.Sequential) and model.built else model
    if not hasattr(functional, "_nodes_by_depth"):
        raise UserError(
            f"model {model.name!r} ({type(model).__name__}) has no graph of layers: only functional and built "
            "sequential models can be taken apart, so build it with keras.Model(inputs, outputs)"
        )
    return functional


def image_of(model):
    """The input of a model of images: its only one, of known height, width and channels."""
    inputs = _functional(model).inputs
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or None in inputs[0].shape[1:]:
        shapes = ", ".join(str(tuple(tensor.shape[1:])) for tensor in inputs)
        raise UserError(
            f"model {model.name!r} has inputs {shapes}: it must have one, an image (height, width, channels)"
        )
    return inputs[0]


def nodes(model):
    """The calls that the model is made of, each after those it depends on, without the inputs."""
    by_depth = _functional(model)._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]


def operations(model):
    """{name: operation} of a functional model in the order of computation, with the names that `replay` gives them."""
    found = {}

    def note(name, operation, *args, **kwargs):
        found[name] = operation
        return [None] * len(operation._inbound_nodes[0].outputs)

    replay(model, [None] * len(_functional(model).inputs), note)
    return found


def again(operation, **changes):
    """A new operation with the config of `operation` but for `changes`, and weights of its own.

    Seeds written into initializers are dropped, for K sub-networks must not begin as copies of one another.
    """
    config = {**operation.get_config(), **changes}
    for value in config.values():
        if isinstance(value, dict) and isinstance(value.get("config"), dict) and "seed" in value["config"]:
            value["config"]["seed"] = None
    try:
        return type(operation).from_config(config)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"layer {operation.name!r} ({type(operation).__name__}) cannot be made again from its config: let its "
            "class take what get_config gives, and give its own functions to keras.saving.register_keras_serializable"
        ) from error


def plain(layer):
    """The layer again, without initializers of ours, which have done their work: Keras alone can load it."""
    ours = type(getattr(layer, "kernel_initializer", None)).__module__.startswith("keras_dd.")
    return again(layer, kernel_initializer="glorot_uniform") if ours else again(layer)


@deep()
def copy(model, make=again):
    """A new model with the layers and the weights of `model`; `make(layer)` gives the new layer for each of them.

    Random layers go on where those of `model` are: what they draw does not hang on when, or where, a copy is made.
    """
    clone = keras.models.clone_model(model, clone_function=make, recursive=True)
    clone.set_weights(model.get_weights())
    layers = operations(clone)
    for name, layer in operations(model).items():
        # `make` may give a layer that draws nothing: Dropout at a rate of 0 has no seeds.
        for state, seed in zip(seeds(layers[name]), seeds(layer), strict=False):
            state.assign(seed)
    settle(clone)
    return clone


def seeds(layer):
    """The states of what is random in a layer or a model (Dropout), as variables that are no weights of it."""
    return [variable for variable in getattr(layer, "variables", ()) if variable.name == "seed_generator_state"]


def settle(model):
    """Compute what layers compute from weights only when these are loaded: the constants of Normalization."""
    for operation in operations(model).values():
        if isinstance(operation, keras.layers.Normalization):
            operation.finalize_state()


def is_softmax(operation):
    """Whether a layer ends in a softmax, be it a Softmax layer or another's activation."""
    activation = getattr(operation, "activation", None)
    return isinstance(operation, keras.layers.Softmax) or activation is keras.activations.softmax
