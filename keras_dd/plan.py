"""What a run would do and cost, in words."""

from keras_dd import cost, devices
from keras_dd.graph import operations
from keras_dd.job import prepare


def plan(settings):
    """What `pipeline.run` would do, in words: boxes, parameters, FLOPs, memory and steps.  Everything is built."""
    job = prepare(settings)
    s, full = job.settings, job.model
    lines = [
        f"{job.dataset.name}: {len(job.dataset.train):,} training images {'x'.join(map(str, job.dataset.image_shape))}"
        f", {len(job.dataset.classes)} classes, accuracy on {len(getattr(job.dataset, job.evaluated_on)):,} "
        f"{job.evaluated_on} images",
        *(f"  {note}" for note in job.dataset.notes),
        f"{full.name}: {full.count_params():,} parameters, {cost.macs(full) / 1e6:,.1f} M MACs an image"
        f", computed in {_dtypes(full)}",
    ]
    if job.parts:
        K, part, box = len(job.parts), job.parts[0], job.parts.boxes[0]
        lines += [
            f"{K} sub-networks of {part.count_params():,} parameters, {cost.macs(part) / 1e6:,.1f} M MACs, "
            f"each on a box of {box.height}x{box.width} px:",
            *(
                f"  {k}: rows {b.top}-{b.top + b.height - 1}, columns {b.left}-{b.left + b.width - 1}, on "
                f"{_place(job, k)}"
                for k, b in enumerate(job.parts.boxes, start=1)
            ),
        ]
        stages = {"subnets": (f"{K} sub-networks", part, K), "finetune": ("fine-tuning", full, 1)}
        networks = {"one sub-network": [part], f"all {K} at once": job.parts, "full network": [full]}
    else:
        stages = {"baseline": ("full network", full, 1)}
        networks = {"full network": [full]}
    return "\n".join(
        [
            *lines,
            f"recipe {s.recipe}, batches of {s.batch_size}:",
            *(_stage(job, stage, *stages[name]) for name, stage in job.stages.items()),
            "peak memory of training, estimated from the graph, on top of Python, TensorFlow and the images:",
            *(
                f"  {name:18}{cost.training_bytes(some, s.batch_size) / cost.MIB:9,.0f} MiB"
                for name, some in networks.items()
            ),
            "nothing was trained: leave out --dry-run to start",
        ]
    )


def _place(job, k):
    """Where sub-network k trains."""
    if job.settings.engine != "local":
        return f"a task of {job.settings.engine}"
    if job.settings.workers > 1:
        return f"one of {min(job.settings.workers, len(job.parts), devices.cores())} processes"
    return job.devices[(k - 1) % len(job.devices)]


def _dtypes(network):
    """What the layers with weights compute in: "float32", or "bfloat16 and float32" where the head stays exact."""
    return " and ".join(sorted({o.compute_dtype for o in operations(network).values() if getattr(o, "weights", ())}))


def _stage(job, stage, name, network, count):
    """The line of a stage in which `count` networks of this size are trained."""
    images = job.steps_per_epoch * job.settings.batch_size * stage.epochs
    return (
        f"  {name:15}{stage.epochs:4} epochs x {job.steps_per_epoch} steps, learning rate {stage.learning_rate:g} "
        f"({stage.schedule}), {count * cost.training_flops(network, images):.2g} FLOPs"
    )
