"""Poisoned and clean models that are measured again: `Zoo.read(folder).model(file)`."""

from evil_twins.bench.zoo.zoo import Zoo as Zoo
