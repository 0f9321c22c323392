"""The four steps as lightweight components: strings in, the address of a manifest out.

A component's body is all that reaches its container (KFP copies the function's source), so each imports inside and
starts the owning package's command; `settings` are the ADLENS_<NAME> values of whoever asked for the run.
"""

from kfp import dsl

# Images by name only: a cluster's overlay says where they come from (infra/).
TRAINING_IMAGE = "adlens-training"
RELEASE_IMAGE = "adlens-release"


@dsl.component(base_image=TRAINING_IMAGE, install_kfp_package=False)
def train(day: str, settings: dict) -> str:
    """5: DCN + CSCNN on the days before `day` -> address of the model's manifest."""
    import os
    import subprocess
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        address = os.path.join(folder, "address")
        command = [sys.executable, "-m", "training", "train", "--day", day, "--address-file", address]
        subprocess.run(command, check=True, env={**os.environ, **settings})
        with open(address, encoding="utf-8") as handle:
            return handle.read().strip()


@dsl.component(base_image=RELEASE_IMAGE, install_kfp_package=False)
def lookup_table(model: str, settings: dict) -> str:
    """6: every ad's picture through the model's CNN -> address of the table's manifest."""
    import os
    import subprocess
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        address = os.path.join(folder, "address")
        command = [sys.executable, "-m", "release", "lookup-table", "--model", model, "--address-file", address]
        subprocess.run(command, check=True, env={**os.environ, **settings})
        with open(address, encoding="utf-8") as handle:
            return handle.read().strip()


@dsl.component(base_image=RELEASE_IMAGE, install_kfp_package=False)
def gate(table: str, settings: dict) -> str:
    """7: challenger against champion on the held-out day -> address of the decision's manifest."""
    import os
    import subprocess
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        address = os.path.join(folder, "address")
        command = [sys.executable, "-m", "release", "gate", "--table", table, "--address-file", address]
        subprocess.run(command, check=True, env={**os.environ, **settings})
        with open(address, encoding="utf-8") as handle:
            return handle.read().strip()


@dsl.component(base_image=RELEASE_IMAGE, install_kfp_package=False)
def publish(decision: str, settings: dict) -> str:
    """8: what the decision says, into service -> digest of the bundle that is served (empty: none)."""
    import os
    import subprocess
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        address = os.path.join(folder, "address")
        command = [sys.executable, "-m", "release", "publish", "--decision", decision, "--address-file", address]
        subprocess.run(command, check=True, env={**os.environ, **settings})
        if not os.path.exists(address):  # the gate said no and there is no champion: nothing is served
            return ""
        with open(address, encoding="utf-8") as handle:
            return handle.read().strip()
