"""What the training VM does from boot to power-off, with the user data that is declared.

Docker, systemd, the driver's installer, the credential helper, gcsfuse and the metadata server are
stand-ins (local/containers); the trainer is the real one. The console is what Compute Engine sends
to Cloud Logging: each test that ends without a result finds the reason there.
"""

import json
import os
import signal
from datetime import UTC, datetime, timedelta

from pipeline import layout
from stacks.cloud_config import MARGIN_SECONDS

from .conftest import ENDLESS, FAST, HOST, NAME, TIMEOUT, VM

# An installer of the driver after which the VM's own /dev has two GPUs.
TWO_GPUS = """\
mkdir -p /var/lib/nvidia/lib64 /var/lib/nvidia/bin /run/dev
for device in null zero random urandom fuse; do
    touch /run/dev/$device
    mount --bind /dev/$device /run/dev/$device
done
ln -s /proc/self/fd /run/dev/fd
touch /run/dev/nvidia0 /run/dev/nvidia1
mount --rbind /run/dev /dev
"""


def nothing_came_of_it(vm: VM) -> bool:
    return vm.result is None and not vm.released and not vm.models.names("runs/")


def test_a_machine_trains_releases_and_powers_off_and_does_nothing_when_it_is_booted_again(
    vm: VM,
) -> None:
    with vm.command("cos-extensions", "mkdir -p /var/lib/nvidia/lib64; echo once >> /var/driver"):
        vm.run()
        result = vm.result
        assert result, vm.console
        assert result.accounts["keeper"].outcome == "live", result
        assert layout.live_pointer("keeper") in vm.released
        assert vm.models.read(layout.run_lease()) is None
        console = vm.console
        assert json.dumps("account keeper: live") in console  # the trainer's own last line

        # The base model was fetched ahead, and the trainer took that one.
        assert (vm.folder / "disk/trainer/base/tiny/hparams.json").exists()
        assert "is not fetched ahead" not in console

        kept = vm.models.read(layout.run_result(NAME))
        with vm.command("docker", "echo docker was needed; exit 9"):
            vm.run()
    assert "docker was needed" not in vm.console
    assert vm.models.read(layout.run_result(NAME)) == kept
    assert (vm.folder / "disk/driver").read_text() == "once\n"
    assert len(vm.console) > len(console)


def test_a_driver_that_cannot_be_installed_ends_the_machine(vm: VM) -> None:
    with vm.command("cos-extensions", "echo the driver says no >&2; exit 3"):
        vm.run()
    assert "the driver says no" in vm.console
    assert "driver failed: 3" in vm.console
    assert nothing_came_of_it(vm)


def test_the_image_and_the_driver_are_fetched_side_by_side(vm: VM) -> None:
    """Each step waits until the other has begun. One after the other, neither would end."""
    both = "touch /var/{0}; for _ in $(seq 600); do [ -e /var/{1} ] && {2}; sleep 0.1; done; exit 1"
    with (
        vm.command(
            "cos-extensions", both.format("driver", "image", "exec mkdir -p /var/lib/nvidia/lib64")
        ),
        vm.command(
            "docker-credential-gcr", both.format("image", "driver", "{ echo both began; exit 7; }")
        ),
    ):
        vm.run()
    assert "both began" in vm.console
    assert "image failed: 7" in vm.console
    assert nothing_came_of_it(vm)


def test_a_machine_that_cannot_see_whether_its_run_is_finished_fetches_nothing(vm: VM) -> None:
    answers = f"""\
case "$*" in
*storage.googleapis.com*) printf 503 ;;
*instance/name) printf {NAME} ;;
*) echo '{{"access_token": "t"}}' ;;
esac"""
    with vm.command("curl", answers), vm.command("docker", "echo docker was needed; exit 9"):
        vm.run()
    assert f"cannot see whether run {NAME} is finished: HTTP 503" in vm.console
    assert "docker was needed" not in vm.console
    assert nothing_came_of_it(vm)


def test_the_container_gets_every_gpu_of_the_machine(vm: VM) -> None:
    with vm.command("cos-extensions", TWO_GPUS), vm.command("docker", 'echo "docker: $*"'):
        vm.run()
    (run,) = (line for line in vm.console.splitlines() if line.startswith("docker: run"))
    devices = run.split("--device ")[1:]
    assert {device.split()[0] for device in devices} == {
        f"/dev/{name}" for name in ("fuse", "nvidiactl", "nvidia-uvm", "nvidia0", "nvidia1")
    }


def test_an_image_that_cannot_be_pulled_ends_the_machine(vm: VM) -> None:
    vm.image = f"{HOST}/project/bots/trainer:absent"
    vm.run()
    assert vm.image in vm.console
    assert "image failed" in vm.console
    assert nothing_came_of_it(vm)


def test_a_machine_that_cannot_learn_its_name_ends(vm: VM) -> None:
    del vm.network["GCE_METADATA_HOST"]
    vm.run()
    assert "metadata.google.internal" in vm.console
    assert nothing_came_of_it(vm)


def test_a_trainer_that_cannot_start_ends_the_machine(vm: VM) -> None:
    vm.settings = FAST | {"steps": 0}
    vm.run()
    assert "steps: Input should be greater than or equal to 1" in vm.console
    assert nothing_came_of_it(vm)


def test_a_failed_account_is_in_the_result_and_on_the_console(vm: VM) -> None:
    vm.settings = FAST | {"base_model": "nowhere"}
    vm.run()
    result = vm.result
    assert result, vm.console
    assert result.accounts["keeper"].outcome == "failed"
    assert "base model 'nowhere'" in result.accounts["keeper"].reason
    assert "base model 'nowhere'" in vm.console
    assert "base/nowhere/ is not fetched ahead: checkpoint answers HTTP 404" in vm.console
    assert not vm.released


def test_a_run_trains_nothing_while_another_holds_the_lease(vm: VM) -> None:
    expires = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    lease = json.dumps({"run": "other", "expires": expires, "by": "schedule"}).encode()
    vm.models.write(layout.run_lease(), lease, generation=0)
    vm.run()
    result = vm.result
    assert result, vm.console
    assert result.accounts["keeper"].outcome == "busy"
    assert "run other has" in vm.console
    assert not vm.released


def test_a_start_up_that_hangs_ends_before_compute_engine_would_stop_the_machine(vm: VM) -> None:
    vm.seconds = MARGIN_SECONDS + 1
    with vm.command("cos-extensions", "echo installing; exec sleep infinity"):
        vm.run()
    assert nothing_came_of_it(vm)


def test_a_preempted_machine_leaves_nothing_half_released(vm: VM) -> None:
    vm.settings = ENDLESS
    with vm.on() as process:
        # The trainer now works on the account.
        vm.wait_for(lambda: vm.models.read(layout.lease("keeper")), process)
        os.killpg(process.pid, signal.SIGTERM)  # Compute Engine's notice
        assert process.wait(TIMEOUT) == 128 + signal.SIGTERM
    assert nothing_came_of_it(vm)
