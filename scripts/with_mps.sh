#!/usr/bin/env bash
# Usage: scripts/with_mps.sh COMMAND...
# Runs COMMAND so that the kernels of its processes overlap on the GPU (NVIDIA's Multi-Process Service). Where the
# service does not start, or no program can use it, COMMAND runs as usual and the processes take turns.
set -u

folder=$(mktemp -d)
export CUDA_MPS_PIPE_DIRECTORY=$folder CUDA_MPS_LOG_DIRECTORY=$folder

probe() {
    timeout 20 python3 - <<'PROBE'
import ctypes, sys

cuda = ctypes.CDLL("libcuda.so.1")
device, context = ctypes.c_int(), ctypes.c_void_p()
sys.exit(
    cuda.cuInit(0)
    or cuda.cuDeviceGet(ctypes.byref(device), 0)
    or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
)
PROBE
}

stop() { echo quit | timeout 20 nvidia-cuda-mps-control >/dev/null 2>&1; }

on=no
if command -v nvidia-cuda-mps-control >/dev/null && timeout 20 nvidia-cuda-mps-control -d; then
    if probe; then on=yes; else stop; fi
fi
echo "NVIDIA MPS: $on" >&2
[ $on = yes ] || unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY

"$@"
status=$?
[ $on = no ] || stop
rm -rf "$folder"
exit $status
