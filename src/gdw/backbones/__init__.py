"""Pretrained networks that turn images or texts into features."""
