"""The figures of a run, a concept a file, each drawn on the axes it is given. No display is needed, nor pyplot."""
