"""The release of one day.

1. train          DCN + CSCNN on [D - window, D), on a GPU node
2. lookup-table   every ad's picture through the CNN once, on a GPU node
3. gate           challenger against champion on the held-out day D
4. publish        what the gate decided: switch, log, alias; or the champion refreshed

Steps hand each other manifest addresses. Caching is off: KFP's cache would repeat a stale day; a step finds its own
finished manifest instead (contracts/artifacts.py).
"""

from kfp import dsl, kubernetes

from components import steps

ACCELERATOR = "nvidia.com/gpu"
NODE_POOL = ("adlens.io/pool", "gpu")  # label and taint of the GPU node pool (infra/)


def on_gpu(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Asks for one accelerator on the GPU node pool. The local runner has no nodes and passes over it."""
    task.set_accelerator_type(ACCELERATOR).set_accelerator_limit(1)
    kubernetes.add_node_selector(task, label_key=NODE_POOL[0], label_value=NODE_POOL[1])
    kubernetes.add_toleration(task, key=NODE_POOL[0], operator="Equal", value=NODE_POOL[1], effect="NoSchedule")
    return task


@dsl.pipeline(name="adlens-release", description="train, lookup table, gate, publish")
def release(day: str, settings: dict) -> str:
    """`settings`: ADLENS_<NAME> -> value, for the steps' commands. Returns the digest of what is served now."""
    train = on_gpu(steps.train(day=day, settings=settings)).set_caching_options(False)
    table = on_gpu(steps.lookup_table(model=train.output, settings=settings)).set_caching_options(False)
    gate = steps.gate(table=table.output, settings=settings).set_caching_options(False)
    publish = steps.publish(decision=gate.output, settings=settings).set_caching_options(False)
    return publish.output
