"""What a run would do and cost, in words."""

from keras_dd import cost
from keras_dd.job import prepare


def plan(settings):
    """What `pipeline.run` would do, in words: boxes, parameters, FLOPs, memory and steps.  Everything is built."""
    job = prepare(settings)
    s, box, K = job.settings, job.parts.boxes[0], len(job.parts)
    subnets, finetune = job.stages
    images = job.steps_per_epoch * s.batch_size
    steps = job.steps_per_epoch

    def stage(name, stage, model, count):
        flops = count * cost.training_flops(model, images * stage.epochs)
        return (
            f"  {name:15}{stage.epochs:4} epochs x {steps} steps, learning rate {stage.learning_rate:g} "
            f"({stage.schedule}), {flops:.2g} FLOPs"
        )

    def memory(name, networks):
        return f"  {name:18}{cost.training_bytes(networks, s.batch_size) / cost.MIB:9,.0f} MiB"

    lines = [
        f"{job.dataset.name}: {len(job.dataset.train):,} training images {'x'.join(map(str, job.dataset.image_shape))}"
        f", {len(job.dataset.classes)} classes, accuracy on {len(getattr(job.dataset, job.evaluated_on)):,} "
        f"{job.evaluated_on} images",
        *(f"  {note}" for note in job.dataset.notes),
        f"{job.model.name}: {job.model.count_params():,} parameters, {cost.macs(job.model) / 1e6:,.1f} M MACs an image",
        f"{K} sub-networks of {job.parts[0].count_params():,} parameters, "
        f"{cost.macs(job.parts[0]) / 1e6:,.1f} M MACs, each on a box of {box.height}x{box.width} px:",
        *(
            f"  {k}: rows {b.top}-{b.top + b.height - 1}, columns {b.left}-{b.left + b.width - 1}, on "
            f"{job.devices[(k - 1) % len(job.devices)]}"
            for k, b in enumerate(job.parts.boxes, start=1)
        ),
        f"recipe {s.recipe}, batches of {s.batch_size}:",
        stage(f"{K} sub-networks", subnets, job.parts[0], K),
        stage("fine-tuning", finetune, job.model, 1),
        "peak memory of training, estimated from the graph, on top of Python, TensorFlow and the images:",
        memory("one sub-network", [job.parts[0]]),
        memory(f"all {K} at once", job.parts),
        memory("full network", [job.model]),
        "nothing was trained: leave out --dry-run to start",
    ]
    return "\n".join(lines)
