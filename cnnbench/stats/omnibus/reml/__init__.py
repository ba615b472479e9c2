"""Linear mixed models with independent variance components, fitted by restricted maximum likelihood (REML).

y = X b + Z_1 u_1 + ... + Z_C u_C + e, where X b is a mean for each cell, u_c ~ N(0, s_c I) and e ~ N(0, s_e I). A
variance may be exactly zero, which is a result and no failure. Everything is computed from counts: how many trials each
cell and each group have in common. statsmodels' MixedLM is not used: it tests by chi squared where F is due, and gives
fixed effects of 0.0 where a variance is zero (statsmodels issue 10239).
"""

from cnnbench.stats.omnibus.reml.fitted import Reml, fit
from cnnbench.stats.omnibus.reml.layout import separable
from cnnbench.stats.omnibus.reml.likelihood import MOST

__all__ = ["MOST", "Reml", "fit", "separable"]
