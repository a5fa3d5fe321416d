"""A process of a sweep; `pixlab.study.workers` starts it."""

from pixlab.study.workers import main

main()
