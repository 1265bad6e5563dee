"""What the Triton kernels share; importing any file in here imports Triton."""
