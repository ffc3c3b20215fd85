#!/usr/bin/env bash
# What `hack/dev gpu bundle` packs (hack/gpu/programs.py); sourced after setup.sh and cuda.sh. The other verbs of
# `hack/dev gpu` build nothing: they run where there is a GPU and perhaps no compiler.

# build_for_gpu PACKAGE...: those that a build needs.
build_for_gpu() {
  prepare "$@" binutils
  phase "CUDA $CUDA_VERSION" use_cuda
  forget_other_cuda
  phase 'build (cuda)' build cuda muster muster-worker muster_cuda nccl_bench slot_bench worker_cuda_launched_test \
    worker_cuda_gpt_test
}
