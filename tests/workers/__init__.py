"""Tests of the workers: tasks as doorbells, queues and beats as data, and a worker process that outlives its broker."""
