"""Networks that are not of this project: their code, their files of weights, their last layer."""
