#!/usr/bin/env bash
# What the training VM does at every boot; its unit powers the machine off when this ends, however.
set -euo pipefail
# IMAGE, REGISTRY_HOST, GPU ("1" or empty), MODELS_BUCKET, RESULT, BASE and BASE_FILES
# shellcheck source=/dev/null
. /etc/trainer/machine.env

metadata() {
    curl --silent --show-error --fail --retry 5 --header 'Metadata-Flavor: Google' \
        "http://metadata.google.internal/computeMetadata/v1/instance/$1"
}

# Writes an object of the models bucket to a file; prints the answer's HTTP status.
object() {
    curl --silent --show-error --retry 5 --output "$2" --write-out '%{http_code}' --header @- \
        "https://storage.googleapis.com/storage/v1/b/$MODELS_BUCKET/o/${1//\//%2F}?alt=media" \
        <<<"Authorization: Bearer $token"
}

# The run is named by the machine: metadata given on insert would replace all of the template's.
machine=$(metadata name)
token=$(metadata service-accounts/default/token | sed 's/.*"access_token" *: *"\([^"]*\)".*/\1/')

# A boot that lost its power has left what it was making.
rm -rf /var/trainer
mkdir /var/trainer

# Into a file: curl empties it before it tries again, which /dev/null refuses.
answer=$(object "${RESULT/MACHINE/"$machine"}" /var/trainer/result.json) || true
case $answer in
200)
    echo "run $machine is finished already: nothing is trained"
    exit 0
    ;;
404) ;;
*)
    echo "cannot see whether run $machine is finished: HTTP $answer of gs://$MODELS_BUCKET" >&2
    cat /var/trainer/result.json >&2 || true # why, in Google's words
    exit 1
    ;;
esac

image() {
    docker-credential-gcr configure-docker --registries="$REGISTRY_HOST"
    docker pull --quiet "$IMAGE"
}

driver() {
    # As Container-Optimized OS documents it.
    cos-extensions install gpu
    mount --bind /var/lib/nvidia /var/lib/nvidia
    mount -o remount,exec /var/lib/nvidia
}

# What is not fetched ahead the trainer finds in the bucket, or downloads from OpenAI.
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

# Runs a step in the background; one that fails says which it was, and ends all at once.
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
    # The container's way to the driver, as Container-Optimized OS documents it; a pattern that
    # matches no GPU stays as it is, and Docker says so.
    gpu=(
        --volume /var/lib/nvidia/lib64:/usr/local/nvidia/lib64
        --volume /var/lib/nvidia/bin:/usr/local/nvidia/bin
        --device /dev/nvidia-uvm --device /dev/nvidiactl
    )
    for device in /dev/nvidia[0-9]*; do gpu+=(--device "$device"); done
fi

# The trainer mounts the models bucket itself: FUSE needs the device, the capability, and a
# profile that lets it mount.
docker run --rm \
    --env-file /etc/trainer/container.env \
    --device /dev/fuse --cap-add SYS_ADMIN --security-opt apparmor=unconfined \
    --volume /var/trainer:/tmp \
    "${gpu[@]}" \
    "$IMAGE" train "$machine"
