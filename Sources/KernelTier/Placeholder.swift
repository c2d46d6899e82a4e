// KernelTier
