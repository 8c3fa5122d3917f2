#!/usr/bin/env bash
# Builds both images with buildah and tries them: make images.
#
# BASE         an image with Python >= 3.11 and venv; default: one made here from Debian bookworm
#              with debootstrap, for hosts that reach no image registry
# TORCH_INDEX  an index with CPU builds of torch, for the worker image
# ONLY         api or worker: build one of the two
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "images: $1" >&2
  exit 1
}
command -v buildah >/dev/null || fail "buildah is not installed (Debian: apt-get install buildah)"

export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
if [ -z "${STORAGE_DRIVER:-}" ] && ! buildah info >/dev/null 2>&1; then
  export STORAGE_DRIVER=vfs # overlay needs a kernel that allows it; vfs works everywhere
fi
tag=${DERMSYNTH_TAG:-local}
work=$(mktemp -d)
containers=()
clean() {
  for container in "${containers[@]}"; do buildah rm "$container" >/dev/null || true; done
  rm -rf "$work"
}
trap clean EXIT

make_base() {
  command -v debootstrap >/dev/null \
    || fail "set BASE=, or install debootstrap (Debian: apt-get install debootstrap)"
  [ "$(id -u)" = 0 ] || fail "debootstrap needs root; set BASE= to an image instead"
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
    bookworm "$work/root" >"$work/debootstrap.log" || { tail -5 "$work/debootstrap.log" >&2; exit 1; }
  rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/*
  local container
  container=$(buildah from scratch)
  containers+=("$container")
  buildah copy --quiet "$container" "$work/root" / >/dev/null
  buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah commit --quiet "$container" "$1" >/dev/null
}

# How pip is configured on this host goes into the build as a secret, its local folders and
# certificates as read-only mounts: none of it stays in an image.
pip_access=()
pip_configuration() {
  local python=python3 key value path
  local -A settings
  [ -x .venv/bin/python ] && python=.venv/bin/python
  while IFS='=' read -r key value; do
    key=${key##*.}
    value=${value#\'}
    value=${value%\'}
    settings[$key]=$value # the environment comes last, and wins
    for path in ${value//file:\/\//}; do
      path=${path%/simple} # an index of files names those that lie beside it
      if [[ $path == /* && -e $path ]]; then pip_access+=(--volume "$path:$path:ro"); fi
    done
  done < <($python -m pip config list | grep -E '^(global|:env:)\.' \
    | grep -vE '\.(no-index|require-virtualenv|target|user|prefix)=')
  {
    echo "[global]"
    for key in "${!settings[@]}"; do echo "$key = ${settings[$key]}"; done
  } >"$work/pip.conf"
  pip_access+=(--secret "id=pip,src=$work/pip.conf")
}

build() { # NAME
  buildah build --quiet --layers=false --format docker \
    --build-arg "BASE=$base" --build-arg "TORCH_INDEX=${TORCH_INDEX:-}" "${pip_access[@]}" \
    --file "Dockerfile.$1" --tag "dermsynth3d-$1:$tag" . >/dev/null
}

in_image() { # NAME COMMAND...: run in the image as its own user
  local container name=$1
  shift
  container=$(buildah from --quiet "dermsynth3d-$name:$tag")
  containers+=("$container")
  buildah run "$container" -- "$@"
}

report() { # NAME
  local bytes
  bytes=$(buildah inspect --type image --format '{{.OCIv1.Config.User}}' "dermsynth3d-$1:$tag")
  echo "dermsynth3d-$1:$tag  $(buildah images --format '{{.Size}}' "dermsynth3d-$1:$tag")  user $bytes"
}

base=${BASE:-}
if [ -z "$base" ]; then
  base=localhost/dermsynth3d-base:bookworm
  buildah inspect --type image "$base" >/dev/null 2>&1 || make_base "$base"
fi
pip_configuration

without='import importlib.util as u, sys; found = [n for n in sys.argv[1:] if u.find_spec(n)]; sys.exit(f"in the image: {found}" if found else 0)'
if [ "${ONLY:-api}" = api ]; then
  build api
  in_image api python3 -c "$without" torch cv2 sklearn scipy worker pip
  in_image api python3 -c 'import api.main'
  in_image api dermsynth --help >/dev/null
  report api
fi
if [ "${ONLY:-worker}" = worker ]; then
  build worker
  in_image worker python3 -c "$without" fastapi api pip
  in_image worker python3 -c 'import torch, cv2, sklearn, worker.app, worker.health; print("torch", torch.__version__)'
  report worker
fi
