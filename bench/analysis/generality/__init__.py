"""Whether detectors that work on the victims of one recipe hold on those of others."""
