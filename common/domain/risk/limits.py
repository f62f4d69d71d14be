"""Limits in layers: platform ceilings that no tenant can raise, named profiles, tenant settings inside them."""
