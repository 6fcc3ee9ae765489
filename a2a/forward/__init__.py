"""The forward model y = A x + noise: stack, scenario, masks, observation, completion and the operators."""
