"""Small torch networks and how they are trained; nothing here is needed to decode.

`quantiser` has codebooks, `shapes` the networks of `VQVAE`, `windows` those of `Autoencoder`,
`training` the loop that both use. Their weights go into models as integers.
"""
