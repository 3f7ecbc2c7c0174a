#!/usr/bin/env bash
# Runs at every boot of a training machine. However it ends, its unit powers the machine off.
set -euo pipefail
# Sets IMAGE, REGISTRY_HOST, GPU ("1" or empty), MODELS_BUCKET, RESULT, BASE and BASE_FILES.
# shellcheck source=/dev/null
. /etc/trainer/machine.env

metadata() {
    curl --silent --show-error --fail --retry 5 --header 'Metadata-Flavor: Google' \
        "http://metadata.google.internal/computeMetadata/v1/instance/$1"
}

# Writes an object of the models bucket to a file, and prints the HTTP status of the response.
object() {
    curl --silent --show-error --retry 5 --output "$2" --write-out '%{http_code}' --header @- \
        "https://storage.googleapis.com/storage/v1/b/$MODELS_BUCKET/o/${1//\//%2F}?alt=media" \
        <<<"Authorization: Bearer $token"
}

# The machine's name is the run. Metadata cannot name it, because metadata in an insert request
# replaces all of the template's.
machine=$(metadata name)
token=$(metadata service-accounts/default/token | sed 's/.*"access_token" *: *"\([^"]*\)".*/\1/')

# An interrupted boot may have left files.
rm -rf /var/trainer
mkdir /var/trainer

# Into a file, not /dev/null: curl truncates its output before it tries again.
status=$(object "${RESULT/MACHINE/"$machine"}" /var/trainer/result.json) || true
case $status in
200)
    echo "run $machine is finished already: nothing is trained"
    exit 0
    ;;
404) ;;
*)
    echo "cannot see whether run $machine is finished: HTTP $status of gs://$MODELS_BUCKET" >&2
    cat /var/trainer/result.json >&2 || true # Google's reason
    exit 1
    ;;
esac

image() {
    docker-credential-gcr configure-docker --registries="$REGISTRY_HOST"
    docker pull --quiet "$IMAGE"
}

driver() {
    # Source: Container-Optimized OS's documentation on GPUs.
    cos-extensions install gpu
    mount --bind /var/lib/nvidia /var/lib/nvidia
    mount -o remount,exec /var/lib/nvidia
}

# If this fails, the trainer takes the base model from the bucket, or downloads it from OpenAI.
base() {
    mkdir /var/trainer/arriving
    for file in $BASE_FILES; do
        status=$(object "$BASE$file" "/var/trainer/arriving/$file") || true
        if [ "$status" != 200 ]; then
            echo "$BASE is not fetched ahead: $file answers HTTP $status"
            rm -r /var/trainer/arriving
            return
        fi
    done
    mkdir -p "/var/trainer/${BASE%/*/}"
    mv /var/trainer/arriving "/var/trainer/${BASE%/}"
}

# Runs a step in the background. A step that fails prints its name and ends the script at once.
start() {
    {
        trap 'status=$?; [ $status = 0 ] || { echo "$step failed: $status" >&2; kill $$; }' EXIT
        step=$1
        "$1"
    } &
    steps+=($!)
}

steps=()
start image
start base
[ -z "$GPU" ] || start driver
for step in "${steps[@]}"; do wait "$step"; done

gpu=()
if [ -n "$GPU" ]; then
    # Source: Container-Optimized OS's documentation on GPUs in containers. If there is no GPU, the
    # pattern matches nothing, stays as it is, and Docker reports it.
    gpu=(
        --volume /var/lib/nvidia/lib64:/usr/local/nvidia/lib64
        --volume /var/lib/nvidia/bin:/usr/local/nvidia/bin
        --device /dev/nvidia-uvm --device /dev/nvidiactl
    )
    for device in /dev/nvidia[0-9]*; do gpu+=(--device "$device"); done
fi

# The trainer mounts the models bucket itself. FUSE needs the device, the capability, and a profile
# that allows mounting.
docker run --rm \
    --env-file /etc/trainer/container.env \
    --device /dev/fuse --cap-add SYS_ADMIN --security-opt apparmor=unconfined \
    --volume /var/trainer:/tmp \
    "${gpu[@]}" \
    "$IMAGE" train "$machine"
