"""Training of MAR: a Mamba-2 language model whose projections read ternary spikes.

Glossary of symbols, used in every docstring of the package:

| symbol | meaning |
|---|---|
| b, l | rows in a batch, tokens in a row |
| d, f | d_model, d_ffn |
| i | d_inner = h·p, the width of the Mamba-2 branch |
| h, p | Mamba-2 heads, and the width of a head |
| g, n | groups that share B and C, and the state's width |
| v | vocabulary |
| L | layers |
| T | micro-steps of a spike site, V its threshold, c the signed spike count of a token |
"""

__version__ = "0.1.0"
