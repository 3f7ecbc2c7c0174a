#!/usr/bin/env bash
# What the training VM does at every boot; its unit powers the machine off when this ends, however.
set -euo pipefail
# IMAGE, REGISTRY_HOST and GPU ("1" or empty)
# shellcheck source=/dev/null
. /etc/trainer/machine.env

# The run is named by the machine: metadata given on insert would replace all of the template's.
machine=$(curl --silent --show-error --fail --retry 5 --header 'Metadata-Flavor: Google' \
    http://metadata.google.internal/computeMetadata/v1/instance/name)

docker-credential-gcr configure-docker --registries="$REGISTRY_HOST"
docker pull "$IMAGE"
if docker run --rm --env-file /etc/trainer/container.env --entrypoint python "$IMAGE" \
    -m trainer_image finished "$machine"; then
    echo "run $machine is finished already: nothing is trained"
    exit 0
fi

gpu=()
if [ -n "$GPU" ]; then
    # The driver, and the container's way to it, as Container-Optimized OS documents them.
    cos-extensions install gpu
    mount --bind /var/lib/nvidia /var/lib/nvidia
    mount -o remount,exec /var/lib/nvidia
    gpu=(
        --volume /var/lib/nvidia/lib64:/usr/local/nvidia/lib64
        --volume /var/lib/nvidia/bin:/usr/local/nvidia/bin
        --device /dev/nvidia0 --device /dev/nvidia-uvm --device /dev/nvidiactl
    )
fi

# A boot that lost its power has left what it was making.
rm -rf /var/trainer
mkdir /var/trainer
# The trainer mounts the models bucket itself: FUSE needs the device, the capability, and a
# profile that lets it mount.
docker run --rm \
    --env-file /etc/trainer/container.env \
    --device /dev/fuse --cap-add SYS_ADMIN --security-opt apparmor=unconfined \
    --volume /var/trainer:/tmp \
    "${gpu[@]}" \
    "$IMAGE" train "$machine"
